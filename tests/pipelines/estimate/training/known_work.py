"""A phase and machines of round numbers."""

from dataclasses import replace
from typing import Any

from pipelines.estimate.training.pace import Machines
from pipelines.estimate.training.rates import PairRates, TrainingRates
from pipelines.estimate.training.work import PhaseWork
from tests.pipelines.estimate.known_rates import exactly

WORK = PhaseWork(
    phase="student",
    num_steps=1000,
    pairs=16,
    patch_size=512,
    precision="float32",
    flops_a_pair=1e12,
    num_trained=25_000_000,
    gradient_bytes=1e8,
    held_bytes=4e9,
    batch_bytes=0.0,
    pair_bytes=1e9,
    checkpoint_bytes=3e8,
    checkpoint_every_n_steps=100,
    keep_checkpoints=2,
)
"""A thousand steps of sixteen pairs, a teraflop each."""

MACHINES = Machines(
    flops_per_s=1e13,
    memory_bytes=40e9,
    gpus_a_machine=8,
    cores=12,
    held_cores=2,
    link_bytes_per_s=1e11,
    network_bytes_per_s=1e10,
    hidden_share=0.0,
    store_bytes_per_s=1e10,
    pairs_per_core_s=50,
    pair_side=512,
    image_bytes=1e5,
)
"""A tenth of a second a pair."""


def work(**changes: Any) -> PhaseWork:
    """The phase, but for what is given."""
    return replace(WORK, **changes)


def machines(**changes: Any) -> Machines:
    """The machines, but for what is given."""
    return replace(MACHINES, **changes)


def training_rates(**changes: Any) -> TrainingRates:
    """Fifty pairs a second, and no arithmetic, but for what is given."""
    pairs = PairRates.model_validate(
        {
            "machine": "a machine of the tests",
            "measured_at": "2026-11-29T04:25:00Z",
            "software": {},
            "degradation": "slimdiffsr",
            "scale": 4,
            "patch_size": 512,
            "image_size": 600,
            "image_bytes": 1e5,
            "pairs_per_core_s": exactly(50),
        }
    )
    return TrainingRates.model_validate({"pairs": pairs, **changes})

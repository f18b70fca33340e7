"""The estimate of a training run: its phases on each number of GPUs, their time, memory and money."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.estimate.training.config import USUAL_FLOPS_PER_S, TrainingEstimateConfig
from pipelines.estimate.training.pace import (
    Machines,
    PhaseTime,
    first_other_limit,
    largest_micro_batch,
    limit_of,
    phase_time,
)
from pipelines.estimate.training.rates import TrainingRates
from pipelines.estimate.training.work import PhaseWork
from rssr.errors import Refused

MOST_GPUS = 4096
"""So many are looked at for where another limit takes over."""

_HOUR_S = 3600.0


@dataclass(frozen=True)
class WithGpus:
    """The run on some number of GPUs.

    Attributes:
        num_gpus: How many.
        times: Of each phase.
        limits: Of each phase, what it would gain most from having twice as much of.
        hours: From begin to end, one phase after another.
        gpu_hours: Of all GPUs, from begin to end.
        money: For these; None without a price.
        at_work: Share of the GPUs' time in which they compute.
    """

    num_gpus: int
    times: tuple[PhaseTime, ...]
    limits: tuple[str, ...]
    hours: float
    gpu_hours: float
    money: float | None
    at_work: float


@dataclass(frozen=True)
class TrainingEstimate:
    """All of it.

    Attributes:
        phases: What there is to do.
        pairs_each: Pairs of each GPU in a step of each phase, where more GPUs make larger steps; else None.
        table: On the numbers of GPUs that are compared.
        other_limits: Of each phase, with how many GPUs another limit than arithmetic takes over, and which; None where
            none does as far as was looked.
        checkpoint_bytes: Of all checkpoints that are written.
        kept_bytes: Of those that are there at the end.
        machines: What was assumed.
        rates: What was measured.
    """

    phases: tuple[PhaseWork, ...]
    pairs_each: tuple[int | None, ...]
    table: tuple[WithGpus, ...]
    other_limits: tuple[tuple[int, str] | None, ...]
    checkpoint_bytes: float
    kept_bytes: float
    machines: Machines
    rates: TrainingRates

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "rates": self.rates.model_dump(mode="json")}


def assumed_machines(config: TrainingEstimateConfig, rates: TrainingRates, held_cores: float) -> Machines:
    """What an estimate is told from: what was measured, and assumptions for the rest.

    Args:
        config: The assumptions.
        rates: What was measured.
        held_cores: CPU cores that each training worker reserves.
    """
    gpus, measured = config.gpus, rates.arithmetic
    sustained = measured.flops_per_s.middle if measured is not None and measured.on == "gpu" else USUAL_FLOPS_PER_S
    return Machines(
        flops_per_s=sustained if gpus.flops_per_s is None else gpus.flops_per_s,
        memory_bytes=gpus.memory_bytes * gpus.usable_share,
        gpus_a_machine=gpus.a_machine,
        cores=gpus.cores,
        held_cores=held_cores,
        link_bytes_per_s=gpus.link_bytes_per_s,
        network_bytes_per_s=gpus.network_bytes_per_s,
        hidden_share=gpus.hidden_share,
        store_bytes_per_s=gpus.store_bytes_per_s,
        pairs_per_core_s=rates.pairs.pairs_per_core_s.middle,
        pair_side=rates.pairs.patch_size,
        image_bytes=rates.pairs.image_bytes if config.image_bytes is None else config.image_bytes,
    )


def estimate_training(
    phases: Sequence[PhaseWork],
    machines: Machines,
    rates: TrainingRates,
    config: TrainingEstimateConfig,
    price_per_hour: float | None = None,
) -> TrainingEstimate:
    """Tell what a training run takes.

    Args:
        phases: What there is to do; one phase at least.
        machines: What to tell it from.
        rates: Where that was measured.
        config: Numbers of GPUs, and what more of them do.
        price_per_hour: Of one GPU.

    Raises:
        Refused: A phase does not fit into a GPU's memory.
    """
    for work in phases:
        _require_room(work, machines)
    grows = config.batch == "grown"
    pairs_each = tuple(-(-work.pairs // config.num_gpus[0]) if grows else None for work in phases)
    dealt = dict(zip(phases, pairs_each, strict=True))
    return TrainingEstimate(
        phases=tuple(phases),
        pairs_each=pairs_each,
        table=tuple(_on(number, dealt, machines, price_per_hour) for number in config.num_gpus),
        other_limits=tuple(first_other_limit(work, machines, MOST_GPUS, each) for work, each in dealt.items()),
        checkpoint_bytes=sum(work.num_checkpoints * work.checkpoint_bytes for work in phases),
        kept_bytes=sum(min(work.keep_checkpoints, work.num_checkpoints) * work.checkpoint_bytes for work in phases),
        machines=machines,
        rates=rates,
    )


def _on(
    num_gpus: int, dealt: Mapping[PhaseWork, int | None], machines: Machines, price_per_hour: float | None
) -> WithGpus:
    times = tuple(phase_time(work, machines, num_gpus, each) for work, each in dealt.items())
    seconds = sum(time.seconds for time in times)
    gpu_hours = num_gpus * seconds / _HOUR_S
    computing_s = sum(time.num_used * time.num_steps * time.arithmetic_s for time in times)
    return WithGpus(
        num_gpus=num_gpus,
        times=times,
        limits=tuple(limit_of(work, machines, num_gpus, each) for work, each in dealt.items()),
        hours=seconds / _HOUR_S,
        gpu_hours=gpu_hours,
        money=None if price_per_hour is None else gpu_hours * price_per_hour,
        at_work=computing_s / (num_gpus * seconds),
    )


def _require_room(work: PhaseWork, machines: Machines) -> None:
    if largest_micro_batch(work, machines.memory_bytes) < 1:
        raise Refused(
            f"Phase {work.phase} takes {work.memory_bytes(1) / 1e9:.3g} GB of a GPU's memory for one pair of "
            f"{work.patch_size} x {work.patch_size} pixels, and {machines.memory_bytes / 1e9:.3g} GB are there for it.",
            "Give training.gpus.memory_bytes of a larger GPU, or lower the patch or the precision in "
            "training.overrides.",
        )

"""Totals of a training run."""

import json
from typing import Any

import pytest

from pipelines.estimate.training.config import TrainingEstimateConfig
from pipelines.estimate.training.estimate import TrainingEstimate, assumed_machines, estimate_training
from rssr.errors import ExitCode, Refused
from tests.pipelines.estimate.known_rates import exactly
from tests.pipelines.estimate.training.known_work import machines, training_rates, work

PHASES = [work(phase="teacher", pairs=2), work()]
ARITHMETIC = {
    "machine": "a machine of the tests",
    "on": "gpu",
    "measured_at": "2026-11-29T04:25:00Z",
    "software": {},
    "phase": "slimdiffsr student",
    "precision": "float32",
    "patch_size": 512,
    "pairs": 1,
    "flops_per_s": exactly(7e12),
}


def config(**values: Any) -> TrainingEstimateConfig:
    return TrainingEstimateConfig.model_validate({"preset": "paper/slimdiffsr_x4", "num_gpus": [2, 8], **values})


def estimate(price_per_hour: float | None = None, **values: Any) -> TrainingEstimate:
    return estimate_training(PHASES, machines(hidden_share=1), training_rates(), config(**values), price_per_hour)


def test_phases_follow_one_another_on_gpus_that_are_all_paid_for() -> None:
    two, eight = estimate(price_per_hour=3).table
    assert two.hours == pytest.approx(1000 * (0.1 + 0.8) / 3600)
    assert two.gpu_hours == pytest.approx(2 * two.hours)
    assert two.money == pytest.approx(3 * two.gpu_hours)
    assert two.at_work == pytest.approx(1)
    assert eight.hours == pytest.approx(1000 * (0.1 + 0.2) / 3600), "the teacher has two pairs"
    assert eight.at_work == pytest.approx((0.1 * 2 + 0.2 * 8) / (0.3 * 8))


def test_steps_may_grow_from_the_fewest_gpus_on() -> None:
    grown = estimate(batch="grown")
    assert grown.pairs_each == (1, 8)
    assert [time.num_steps for time in grown.table[1].times] == [250, 250]
    assert estimate().pairs_each == (None, None)


def test_checkpoints_are_added_up() -> None:
    told = estimate()
    assert told.checkpoint_bytes == 2 * 10 * 3e8
    assert told.kept_bytes == 2 * 2 * 3e8


def test_a_phase_that_does_not_fit_is_refused_with_both_sizes() -> None:
    with pytest.raises(Refused, match=r"Phase student takes 5 GB .* 4\.5 GB are there") as refused:
        estimate_training([work()], machines(memory_bytes=4.5e9), training_rates(), config())
    assert refused.value.exit_code == ExitCode.REFUSED


def test_it_goes_into_json() -> None:
    told = json.loads(json.dumps(estimate().to_json()))
    assert told["table"][0]["num_gpus"] == 2
    assert told["rates"]["pairs"]["pairs_per_core_s"]["middle"] == 50


@pytest.mark.parametrize(
    ("arithmetic", "gpus", "expected"),
    [
        (None, {}, 30e12),
        ({**ARITHMETIC, "on": "cpu"}, {}, 30e12),
        (ARITHMETIC, {}, 7e12),
        (ARITHMETIC, {"flops_per_s": 5e12}, 5e12),
    ],
)
def test_what_a_gpu_was_measured_at_replaces_the_assumption_and_an_argument_both(
    arithmetic: dict[str, Any] | None, gpus: dict[str, float], expected: float
) -> None:
    rates = training_rates(arithmetic=arithmetic)
    assert assumed_machines(config(gpus=gpus), rates, 4).flops_per_s == expected


def test_assumptions_become_machines() -> None:
    found = assumed_machines(config(gpus={"memory_bytes": 10e9, "usable_share": 0.5}), training_rates(), 4)
    assert (found.memory_bytes, found.held_cores, found.image_bytes) == (5e9, 4, 1e5)
    assert assumed_machines(config(image_bytes=7), training_rates(), 4).image_bytes == 7

"""What there is to do in the phases of the smallest preset."""

from typing import Any

import pytest
import torch

from pipelines.estimate.training.config import TrainingEstimateConfig
from pipelines.estimate.training.preset import open_preset
from pipelines.estimate.training.work import PhaseWork, plan_phases
from pipelines.experiment.dry_run import estimate_phase
from rssr.errors import ConfigError
from tests.jobs.running import TINY

SMALL = {"phases": ["uncertainty"], "worker.num_gpus": 1}


def planned(**overrides: Any) -> PhaseWork:
    method, job = open_preset(TrainingEstimateConfig(preset=str(TINY), overrides={**SMALL, **overrides}))
    (found,) = plan_phases(method, job)
    return found


def test_memory_is_that_of_a_dry_run() -> None:
    method, job = open_preset(TrainingEstimateConfig(preset=str(TINY), overrides=SMALL))
    found = planned()
    told = estimate_phase(method, "uncertainty", job.data.scale_range, torch.device("cuda"))
    assert found.pairs == 4
    assert found.memory_bytes(4) == pytest.approx(told.total_bytes)
    assert found.gradient_bytes == told.gradient_bytes
    assert found.num_trained == told.num_trained


def test_a_step_has_the_pairs_of_all_its_workers_and_micro_batches() -> None:
    found = planned(num_workers=[1, 3], uncertainty={"micro_batches_per_step": 2})
    assert found.pairs == 4 * 3 * 2
    assert found.flops_a_pair == planned().flops_a_pair


def test_a_step_that_is_shared_has_its_pairs_alone() -> None:
    assert planned(num_workers=[1, 3], batch_size_of="step").pairs == 4


def test_arithmetic_grows_with_the_patch() -> None:
    assert planned(uncertainty={"patch_size": 128}).flops_a_pair == pytest.approx(4 * planned().flops_a_pair, rel=0.1)


def test_sharded_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"uncertainty\.parallelism=replicas"):
        planned(uncertainty={"parallelism": "shards"})

"""Rates are measured with the data pipeline and the training step."""

import torch

from pipelines.estimate.training.config import TrainingEstimateConfig
from pipelines.estimate.training.measuring import measure_rates
from pipelines.estimate.training.preset import open_preset
from pipelines.estimate.training.work import plan_phases
from tests.jobs.running import TINY


def test_both_rates_are_of_what_the_preset_asks_for() -> None:
    method, job = open_preset(TrainingEstimateConfig(preset=str(TINY), overrides={"phases": ["student"]}))
    num_threads = torch.get_num_threads()
    found = measure_rates(method, job, plan_phases(method, job))
    assert torch.get_num_threads() == num_threads
    assert (found.pairs.degradation, found.pairs.scale, found.pairs.patch_size) == ("slimdiffsr", 4, 64)
    assert found.pairs.pairs_per_core_s.count == 5
    assert 1 < found.pairs.pairs_per_core_s.middle < 1e5
    assert found.pairs.image_bytes > 1000
    assert found.arithmetic is not None
    assert (found.arithmetic.phase, found.arithmetic.patch_size, found.arithmetic.pairs) == (
        "slimdiffsr student",
        64,
        1,
    )
    assert 1e7 < found.arithmetic.flops_per_s.middle < 1e15

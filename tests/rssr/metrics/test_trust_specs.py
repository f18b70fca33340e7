import math

import numpy as np
from numpy.typing import NDArray

from rssr.degradation import downsample_bicubic
from rssr.metrics.consistency import consistency
from rssr.metrics.correctness import correctness
from rssr.metrics.table import METRICS
from rssr.metrics.trust_specs import HR_SPECS, LR_SPECS, TRUST_SPECS
from rssr.scenes import generate_scene

HR = generate_scene(7, 96, 96)
LR = downsample_bicubic(HR, (24, 24))
NOISE = np.random.default_rng(0).normal(0, 1, HR.shape)
NEAR, FAR = (
    np.roll(np.clip(HR + sigma * NOISE, 0, 255).astype(np.uint8), step, axis=0) for sigma, step in ((3, 0), (30, 3))
)


def measured(sr: NDArray[np.uint8]) -> dict[str, float]:
    found = correctness(sr, LR, HR)
    assert found is not None
    return consistency(sr, LR, 4).metrics() | found.metrics()


def test_there_is_a_spec_for_all_that_is_measured() -> None:
    assert [spec.name for spec in TRUST_SPECS] == list(measured(NEAR))
    assert all(METRICS[spec.name] is spec for spec in TRUST_SPECS)
    assert {spec.needs for spec in LR_SPECS} == {"lr"}
    assert {spec.needs for spec in HR_SPECS} == {"hr"}
    assert all(spec.source and not spec.is_cropped and spec.measure is None for spec in TRUST_SPECS)


def test_values_lie_within_the_stated_range_and_improve_in_the_stated_direction() -> None:
    good, bad = measured(NEAR), measured(FAR)
    for spec in TRUST_SPECS:
        if spec.name != "omission":  # what is invented is not left out
            assert spec.is_better(good[spec.name], bad[spec.name]), spec.name
        for value in (good[spec.name], bad[spec.name]):
            assert spec.value_range[0] <= value <= spec.value_range[1]
            assert math.isfinite(value)

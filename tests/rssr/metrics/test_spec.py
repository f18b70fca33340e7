import numpy as np
import pytest

from rssr.errors import ConfigError
from rssr.metrics import METRICS, metric_spec
from rssr.scenes import generate_scene

PAIR_METRICS = [name for name, spec in METRICS.items() if spec.measure is not None]


@pytest.mark.parametrize("name", PAIR_METRICS)
def test_values_lie_within_the_stated_range_and_improve_in_the_stated_direction(name: str) -> None:
    spec = metric_spec(name)
    assert spec.name == name
    assert spec.measure is not None
    hr = generate_scene(3, 32, 32)
    noise = np.random.default_rng(0).normal(0, 1, hr.shape)
    near, far = (np.clip(hr + sigma * noise, 0, 255).astype(np.uint8) for sigma in (4, 40))
    good, bad = spec.measure(near, hr), spec.measure(far, hr)
    assert spec.is_better(good, bad)
    assert not spec.is_better(bad, good)
    assert not spec.is_better(good, good)
    for value in (good, bad):
        assert spec.value_range[0] <= value <= spec.value_range[1]


def test_colour_space_is_what_is_measured() -> None:
    """A change of colour that keeps luma hurts the metrics on RGB and spares those on Y."""
    hr = np.full((16, 16, 3), (100, 100, 100), np.uint8)
    sr = np.full((16, 16, 3), (151, 74, 100), np.uint8)  # luma moves by less than a tenth of a level
    for name in ("psnr_y", "psnr_rgb"):
        spec = metric_spec(name)
        if spec.measure is not None:
            assert (spec.measure(sr, hr) > 60) == (spec.colour_space == "y")


def test_unknown_metrics_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="psnr_y"):
        metric_spec("psnr")

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.degradation import downsample_bicubic, lr_size
from rssr.errors import ImageError
from rssr.inference import super_resolve
from rssr.metrics.correctness import NAMES, Correctness, correctness
from rssr.models.loaded import load_model
from rssr.scenes import generate_scene

Pixels = npt.NDArray[Any]

HR = generate_scene(4, 96, 96)
LR = downsample_bicubic(HR, (24, 24))
RNG = np.random.default_rng(1)


def bicubic(lr: Pixels, scale: float) -> Pixels:
    return np.moveaxis(super_resolve(np.moveaxis(lr, -1, 0), load_model("bicubic"), scale), 0, -1)


def shares(sr: Pixels, lr: Pixels = LR, hr: Pixels = HR, **options: Any) -> Correctness:
    found = correctness(sr, lr, hr, **options)
    assert found is not None
    return found


def test_the_truth_is_improvement_alone() -> None:
    assert shares(HR).metrics() == pytest.approx({"improvement": 1, "omission": 0, "hallucination": 0}, abs=1e-6)


def test_the_bicubic_baseline_is_omission_alone() -> None:
    assert shares(bicubic(LR, 4)).metrics() == pytest.approx(
        {"improvement": 0, "omission": 1, "hallucination": 0}, abs=2e-3
    )


def test_noise_is_hallucination() -> None:
    found = shares(RNG.integers(0, 256, HR.shape, dtype=np.uint8))
    assert found.hallucination > 0.95
    assert shares(255 - HR).hallucination > 0.9


def test_between_lr_and_hr_the_nearer_one_has_the_larger_share() -> None:
    hr = HR.astype(np.float32)
    lr = downsample_bicubic(hr, (24, 24))
    base = bicubic(lr, 4)
    steps = [shares(base + np.float32(t) * (hr - base), lr, hr, floor=1.0) for t in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    improvements = [found.improvement for found in steps]
    assert improvements == sorted(improvements)
    assert [found.improvement > found.omission for found in steps] == [False] * 3 + [True] * 3
    assert max(found.hallucination for found in steps) < 0.25


def test_shares_are_those_of_the_stated_formula() -> None:
    hr, lr = np.full((1, 1, 2), 20, np.float32), np.full((1, 1, 2), 10, np.float32)
    sr = np.array([[[24, 18]]], np.float32)  # 3 from HR and 11 from LR on the mean over bands, of 10
    x, y = 0.3, 1.1
    astray = 1 - math.exp(-(x + y - 1))
    distances = x + y * astray, y + x * astray, math.exp(-x * y)
    weights = [1 / distance**2 for distance in distances]
    found = shares(sr, lr, hr, floor=1.0)
    expected = {name: weight / sum(weights) for name, weight in zip(NAMES, weights, strict=True)}
    assert found.metrics() == pytest.approx(expected)
    assert {name: float(found.maps[name][0, 0]) for name in NAMES} == pytest.approx(expected)


def test_texture_on_ground_without_detail_is_hallucination() -> None:
    hr, lr = np.full((32, 32, 3), 90, np.uint8), np.full((8, 8, 3), 90, np.uint8)
    sr = hr.copy()
    sr[8:16, 8:16] += 12
    found = shares(sr, lr, hr)
    assert found.num_pixels == 64, "elsewhere all three agree, which tells nothing"
    assert found.hallucination > 0.999
    assert np.isnan(found.maps["hallucination"]).sum() == 32 * 32 - 64
    assert correctness(hr, lr, hr) is None


@settings(max_examples=40)
@given(
    size=st.tuples(st.integers(5, 41), st.integers(5, 41)),
    scale=st.floats(1, 5),
    num_bands=st.integers(1, 5),
    is_float=st.booleans(),
    seed=st.integers(0, 100),
)
def test_shares_sum_to_one_in_every_pixel(
    size: tuple[int, int], scale: float, num_bands: int, is_float: bool, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    hr, sr = (generator.integers(0, 256, (*size, num_bands)).astype(np.uint8) for _ in range(2))
    if is_float:
        hr, sr = ((image / 127.5 - 1).astype(np.float32) for image in (hr, sr))
        sr[0, 0, 0] = np.nan
    lr = downsample_bicubic(hr, lr_size(size, scale))
    found = shares(sr, lr, hr)
    maps = np.stack([found.maps[name] for name in NAMES])
    assert maps.shape == (3, *size)
    told = np.isfinite(maps).all(axis=0)
    assert (told == np.isfinite(maps).any(axis=0)).all()
    assert told.sum() == found.num_pixels
    assert told[0, 0] == (not is_float)
    assert maps[:, told].sum(axis=0) == pytest.approx(1, abs=1e-6)
    assert maps[:, told].min() >= 0
    assert maps[:, told].max() <= 1
    assert sum(found.metrics().values()) == pytest.approx(1)
    for name in NAMES:
        assert getattr(found, name) == pytest.approx(maps[NAMES.index(name)][told].mean(), abs=1e-5)


def test_unknown_pixels_do_not_spread() -> None:
    hr = (HR / 127.5 - 1).astype(np.float32)
    lr = downsample_bicubic(hr, (24, 24))
    noise = RNG.normal(0, 0.1, hr.shape).astype(np.float32)
    whole = shares(hr + noise, lr, hr)
    mask = np.ones((96, 96), bool)
    mask[:10] = False
    sr, spoilt = hr + noise, lr.copy()
    sr[50, 60, 1], spoilt[20, 4, 0] = np.inf, np.nan
    found = shares(sr, spoilt, hr, valid_mask=mask)
    for name in NAMES:
        told = np.isfinite(found.maps[name])
        assert not told[:10].any()
        assert not told[50, 60]
        assert told[11:60].sum() >= 49 * 96 - 49 * 96 // 100
        assert (found.maps[name][told] == whole.maps[name][told]).all()
    assert np.isfinite(list(found.metrics().values())).all()
    assert whole.num_pixels - found.num_pixels <= 10 * 96 + 1 + 16 * 16


def test_network_values_and_grey_levels_tell_the_same() -> None:
    sr = np.clip(HR + RNG.normal(0, 12, HR.shape), 0, 255).astype(np.uint8)
    sr_net, lr_net, hr_net = ((image / 127.5 - 1).astype(np.float32) for image in (sr, LR, HR))
    assert shares(sr_net, lr_net, hr_net).metrics() == pytest.approx(shares(sr).metrics(), abs=0.02)


def test_input_that_does_not_fit_is_refused() -> None:
    for sr, lr, hr, words in (
        (HR[:-1], LR, HR, "Crop them alike"),
        (HR[..., :1], LR, HR, "SR and HR images differ"),
        (HR, LR.astype(np.float32), HR, "LR and HR images differ"),
        (LR, HR, LR, "is larger than the HR image"),
    ):
        with pytest.raises(ImageError, match=words):
            correctness(sr, lr, hr)

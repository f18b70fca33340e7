import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio as peak_signal_noise_ratio_of_tensors
from torchmetrics.functional.image import structural_similarity_index_measure as structural_similarity_of_tensors

from rssr.errors import ImageError
from rssr.metrics import luma, psnr_rgb, psnr_y, ssim_rgb, ssim_y
from rssr.metrics.spec import PairMetric
from rssr.scenes import generate_scene
from tests.rssr.conftest import VectorFile

HR = generate_scene(1, 64, 81)
SR = np.clip(HR + np.random.default_rng(0).normal(0, 9, HR.shape), 0, 255).astype(np.uint8)
OPTIONS = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}


@pytest.mark.parametrize("border", [0, 4])
def test_agreement_with_scikit_image(border: int) -> None:
    inside = slice(border, 64 - border), slice(border, 81 - border)
    sr, hr = SR[inside], HR[inside]
    sr_y, hr_y = (rgb2ycbcr(pixels)[..., 0] for pixels in (sr, hr))
    np.testing.assert_allclose(luma(hr), hr_y, atol=1e-9)
    assert psnr_y(SR, HR, border=border) == pytest.approx(peak_signal_noise_ratio(hr_y, sr_y, data_range=255))
    assert psnr_rgb(SR, HR, border=border) == pytest.approx(peak_signal_noise_ratio(hr, sr, data_range=255))
    assert ssim_y(SR, HR, border=border) == pytest.approx(structural_similarity(hr_y, sr_y, **OPTIONS), abs=1e-7)
    expected = structural_similarity(hr, sr, channel_axis=2, **OPTIONS)
    assert ssim_rgb(SR, HR, border=border) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("border", [0, 4])
def test_agreement_with_torchmetrics(border: int) -> None:
    inside = slice(border, 64 - border), slice(border, 81 - border)
    sr, hr = (torch.from_numpy(pixels[inside].copy()).double().permute(2, 0, 1)[None] for pixels in (SR, HR))
    sr_y, hr_y = (torch.from_numpy(luma(pixels[inside]))[None, None] for pixels in (SR, HR))
    for ours, pair in (((psnr_rgb, ssim_rgb), (sr, hr)), ((psnr_y, ssim_y), (sr_y, hr_y))):
        psnr, ssim = (measure(SR, HR, border=border) for measure in ours)
        assert psnr == pytest.approx(peak_signal_noise_ratio_of_tensors(*pair, data_range=255.0).item(), abs=1e-4)
        _, full = structural_similarity_of_tensors(*pair, data_range=255.0, return_full_image=True)
        whole_windows = full[..., 5:-5, 5:-5]  # it mirrors pictures beyond their edges
        assert ssim == pytest.approx(whole_windows.mean().item(), abs=1e-7)


@pytest.mark.parametrize("border", [2, 4])
@pytest.mark.parametrize(("colours", "psnr", "ssim"), [("RGB", psnr_rgb, ssim_rgb), ("Y", psnr_y, ssim_y)])
def test_recorded_measures(
    vector_file: Callable[[str], VectorFile], border: int, colours: str, psnr: PairMetric, ssim: PairMetric
) -> None:
    recorded = vector_file("ldcsr_data_and_metrics")
    sr, hr = (recorded.tensors[f"in/metric_{name}_uint8"].numpy() for name in "ab")
    found = torch.tensor([measure(sr, hr, border=border) for measure in (psnr, ssim)], dtype=torch.float64)
    recorded.assert_close(f"out/metric.crop{border}_{colours}", found)


def test_luma_spans_studio_range() -> None:
    ends = luma(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8))
    np.testing.assert_allclose(ends, [[16, 235]])


@settings(deadline=None)
@given(pixels=arrays(np.uint8, (12, 13, 3)))
def test_a_picture_is_perfectly_like_itself(pixels: np.ndarray) -> None:
    assert psnr_y(pixels, pixels) == psnr_rgb(pixels, pixels) == math.inf
    assert ssim_y(pixels, pixels) == pytest.approx(1)
    assert ssim_rgb(pixels, pixels) == pytest.approx(1)


@settings(deadline=None)
@given(one=arrays(np.uint8, (12, 13, 3)), other=arrays(np.uint8, (12, 13, 3)), border=st.integers(0, 5))
def test_measures_are_symmetric_and_within_range(one: np.ndarray, other: np.ndarray, border: int) -> None:
    assert psnr_y(one, other, border=border) == psnr_y(other, one, border=border) >= 0
    assert ssim_y(one, other) == pytest.approx(ssim_y(other, one))
    assert -1 <= ssim_y(one, other) <= 1 + 1e-9


def test_border_pixels_do_not_count() -> None:
    spoilt = HR.copy()
    spoilt[:3] = 0
    spoilt[:, -3:] = 255
    assert psnr_y(spoilt, HR) < 30
    assert psnr_y(spoilt, HR, border=3) == math.inf
    assert ssim_y(spoilt, HR, border=3) == pytest.approx(1)


def test_more_noise_is_worse() -> None:
    noise = np.random.default_rng(1).normal(0, 1, HR.shape)
    worse = [np.clip(HR + sigma * noise, 0, 255).astype(np.uint8) for sigma in (3, 10, 30)]
    for metric in (psnr_y, psnr_rgb, ssim_y, ssim_rgb):
        values = [metric(pixels, HR) for pixels in worse]
        assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("sr", "hr", "border", "word"),
    [
        (SR[:-1], HR, 0, "ground truth"),
        (SR.astype(np.float32), HR, 0, "float32"),
        (SR, HR[..., 0], 0, r"\[H, W, 3\]"),
        (SR, HR, 32, "leaves 0x17"),
        (SR, HR, -1, "border of -1"),
    ],
)
def test_pictures_that_do_not_match_are_refused(sr: np.ndarray, hr: np.ndarray, border: int, word: str) -> None:
    with pytest.raises(ImageError, match=word):
        psnr_y(sr, hr, border=border)


def test_ssim_needs_a_whole_window() -> None:
    assert ssim_y(SR[:11, :11], HR[:11, :11]) < 1
    with pytest.raises(ImageError, match="11x11"):
        ssim_y(SR[:10], HR[:10])

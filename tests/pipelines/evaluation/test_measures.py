import math
from dataclasses import replace

import numpy as np
import pytest

from pipelines.evaluation import measures as measuring
from pipelines.evaluation.measures import Measures
from pipelines.evaluation.task import MeasuringSpec
from rssr.degradation import degradation_preset, degrade
from rssr.errors import ImageError
from rssr.metrics import psnr_y, ssim_rgb
from rssr.metrics.consistency import consistency
from rssr.metrics.correctness import correctness
from rssr.metrics.trust_specs import TRUST_SPECS
from tests.pipelines.evaluation.small import picture, prepared

TRUST = tuple(spec.name for spec in TRUST_SPECS)


@pytest.fixture
def sr() -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 8, (64, 64, 3))
    return np.clip(picture(1) + noise, 0, 255).astype(np.uint8)


def test_each_metric_is_measured_as_it_wants_to_be(sr: np.ndarray) -> None:
    hr = picture(1)
    found = Measures(MeasuringSpec(("ssim_rgb", "psnr_y", *TRUST)), "cpu")(prepared(hr), sr)
    lr = prepared(hr).lr
    told = correctness(sr, lr, hr)
    assert told is not None
    expected = {
        "ssim_rgb": ssim_rgb(sr, hr, border=4),
        "psnr_y": psnr_y(sr, hr, border=4),
        **consistency(sr, lr, 4.0).metrics(),
        **told.metrics(),
    }
    assert found.metrics == pytest.approx(expected)
    assert list(found.metrics) == ["ssim_rgb", "psnr_y", *TRUST]
    assert found.reasons == ()


def test_only_what_is_asked_for_is_measured(sr: np.ndarray) -> None:
    assert set(Measures(MeasuringSpec(("psnr_y",)), "cpu")(prepared(picture(1)), sr).metrics) == {"psnr_y"}
    found = Measures(MeasuringSpec(("hallucination",), border=0), "cpu")(prepared(picture(1)), sr)
    assert set(found.metrics) == {"hallucination"}


def test_without_hr_only_metrics_that_need_none_are_measured(sr: np.ndarray) -> None:
    image = replace(prepared(picture(1)), hr=None)
    found = Measures(MeasuringSpec(("psnr_y", *TRUST)), "cpu")(image, sr)
    assert set(found.metrics) == {"lr_error", "lr_shift_px", "spectral_angle_deg"}
    assert found.reasons == ()


def test_equal_images_have_no_error_at_all() -> None:
    found = Measures(MeasuringSpec(("psnr_y",)), "cpu")(prepared(picture(1)), picture(1))
    assert found.metrics == {"psnr_y": math.inf}


def test_a_metric_that_fails_says_why_and_leaves_the_others() -> None:
    hr = picture(1, 16, 64)
    found = Measures(MeasuringSpec(("ssim_y", "psnr_y", "lr_error")), "cpu")(prepared(hr), hr)
    assert set(found.metrics) == {"psnr_y", "lr_error"}
    assert found.reasons == ("SSIM (Y) cannot be measured. 8 x 56 pixels are left, and it takes 11 at least.",)


def test_an_sr_image_of_another_size_is_refused() -> None:
    with pytest.raises(ImageError, match="64 x 60 pixels instead of 64 x 64"):
        Measures(MeasuringSpec(("psnr_y",)), "cpu")(prepared(picture(1)), picture(1, 64, 60))


@pytest.mark.parametrize(("scale", "size"), [(4.0, (60, 48)), (2.5, (60, 50))])
def test_large_images_are_measured_in_blocks_to_the_same_figures(
    sr: np.ndarray, monkeypatch: pytest.MonkeyPatch, scale: float, size: tuple[int, int]
) -> None:
    image = prepared(picture(1)[: size[0], : size[1]], scale)
    image = replace(image, lr=degrade(image.hr, scale, degradation_preset("bicubic"), 0), size=size)
    spec = MeasuringSpec(("psnr_rgb", "ssim_y", *TRUST))
    whole = Measures(spec, "cpu")(image, sr[: size[0], : size[1]]).metrics
    monkeypatch.setattr(measuring, "_ARITHMETIC_SIDE", 24)
    blocks = Measures(spec, "cpu")(image, sr[: size[0], : size[1]]).metrics
    for name in ("psnr_rgb", "ssim_y"):
        assert blocks[name] == pytest.approx(whole[name], abs=1e-9)
    for name in ("lr_error", "spectral_angle_deg", "improvement", "omission", "hallucination"):
        assert blocks[name] == pytest.approx(whole[name], rel=0.15)  # seams between blocks differ
    assert set(whole) - set(blocks) <= {"lr_shift_px"}  # which blocks of a few LR pixels do not tell

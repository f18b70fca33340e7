import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.registration import phase_cross_correlation

from rssr.degradation import DegradationConfig, degrade, downsample_bicubic, lr_size
from rssr.errors import DataError, ImageError
from rssr.metrics.consistency import consistency, spectral_angle_deg
from rssr.scenes import generate_scene

Pixels = npt.NDArray[Any]


def taken_down(image: Pixels, size: tuple[int, int]) -> Pixels:
    """The oracle's own Pillow call."""
    bands = [
        Image.fromarray(np.ascontiguousarray(image[..., band])).resize(size[::-1], Image.Resampling.BICUBIC)
        for band in range(image.shape[2])
    ]
    return np.stack([np.asarray(band) for band in bands], axis=-1)


def scene(height: int = 96, width: int = 120, num_bands: int = 3, seed: int = 2) -> npt.NDArray[np.uint8]:
    bands = generate_scene(seed, height, width)
    return np.ascontiguousarray(np.concatenate([bands, 255 - bands], axis=2)[..., :num_bands])


def as_reflectance(levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return (levels / 255 * 0.6 + 0.01).astype(np.float32)


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(12, 61), st.integers(12, 61)),
    scale=st.floats(1, 5),
    num_bands=st.integers(1, 5),
    is_float=st.booleans(),
)
def test_an_image_that_yields_lr_exactly_is_without_any_error(
    size: tuple[int, int], scale: float, num_bands: int, is_float: bool
) -> None:
    levels = scene(*size, num_bands)
    sr: Pixels = as_reflectance(levels) if is_float else levels
    lr = taken_down(sr, lr_size(size, scale))
    found = consistency(sr, lr, scale)
    assert found.band_errors == (0,) * num_bands
    assert found.error_map.shape == lr.shape[:2]
    assert found.error_map.dtype == np.float32
    assert (found.error_map == 0).all()
    assert found.num_pixels == lr.shape[0] * lr.shape[1]
    assert (found.spectral_angle_deg is None) == (num_bands == 1)
    assert found.spectral_angle_deg in (None, 0)
    assert found.shift is None or found.shift.length < 1e-9


def test_lr_images_of_the_bicubic_degradation_are_consistent_with_hr() -> None:
    hr = scene()
    lr = degrade(hr, 3.0, DegradationConfig(kind="bicubic"), 1)
    found = consistency(hr, lr, 3.0)
    assert found.metrics() == pytest.approx({"lr_error": 0, "lr_shift_px": 0, "spectral_angle_deg": 0}, abs=1e-9)


def test_added_brightness_is_the_error_of_its_band() -> None:
    hr = as_reflectance(scene())
    lr = downsample_bicubic(hr, (24, 30))
    found = consistency(hr + np.float32([0.1, -0.05, 0.0]), lr, 4)
    assert found.band_errors == pytest.approx((0.1, 0.05, 0.0), abs=1e-6)
    assert found.error == pytest.approx(0.05, abs=1e-6)
    assert found.error_map == pytest.approx(np.full((24, 30), 0.05), abs=1e-6)
    assert found.shift is not None
    assert found.shift.length < 1e-3, "brightness does not move an image"
    levels = scene().clip(20, 235)
    found_levels = consistency(levels + np.uint8(7), downsample_bicubic(levels, (24, 30)), 4)
    assert found_levels.error == pytest.approx(7, abs=0.02), "grey levels, but for overshoot at 255"


def test_more_light_changes_no_spectral_angle_and_other_colours_do_by_the_plain_formula() -> None:
    hr = as_reflectance(scene(num_bands=4))
    lr = downsample_bicubic(hr, (24, 30))
    brighter = consistency(1.3 * hr, lr, 4)
    assert brighter.spectral_angle_deg == pytest.approx(0, abs=1e-4)
    gains = np.float32([1.0, 1.2, 0.7, 1.0])
    found = consistency(gains * hr, lr, 4)
    one, two = (gains * lr).astype(np.float64), lr.astype(np.float64)
    cosines = (one * two).sum(axis=2) / np.sqrt((one**2).sum(axis=2) * (two**2).sum(axis=2))
    assert found.spectral_angle_deg == pytest.approx(np.degrees(np.arccos(cosines)).mean(), abs=1e-4)


def test_angles_are_those_of_geometry() -> None:
    assert spectral_angle_deg(np.array([[1.0, 0.0]]), np.array([[0.0, 3.0]])) == pytest.approx(90)
    assert spectral_angle_deg(np.array([[1.0, 1.0], [2.0, 0.0]]), np.array([[1.0, 0.0], [4.0, 0.0]])) == pytest.approx(
        22.5
    )
    assert spectral_angle_deg(np.array([[1.0, 2.0]]), np.array([[-1.0, -2.0]])) == pytest.approx(180)
    tiny = spectral_angle_deg(np.array([[1.0, 0.0]]), np.array([[1.0, 1e-9]]))
    assert tiny == pytest.approx(math.degrees(1e-9)), "arccos of the product would give 0"


def test_black_pixels_and_single_bands_have_no_angle() -> None:
    assert spectral_angle_deg(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])) == pytest.approx(
        90
    )
    assert spectral_angle_deg(np.zeros((3, 2)), np.ones((3, 2))) is None
    assert spectral_angle_deg(np.ones((3, 1)), np.ones((3, 1))) is None
    network = as_reflectance(scene()) * 2 - 1
    found = consistency(network, downsample_bicubic(network, (24, 30)), 4, black=-1)
    assert found.spectral_angle_deg == 0
    black = np.zeros((32, 32, 3), np.uint8)
    assert consistency(black, black[::4, ::4], 4).metrics() == {"lr_error": 0}


@pytest.mark.parametrize(("scale", "step"), [(4.0, (4, 0)), (4.0, (2, -3)), (2.0, (-3, 1)), (3.2, (8, -2))])
def test_an_image_moved_on_the_sr_grid_is_found_moved_on_the_lr_grid(scale: float, step: tuple[int, int]) -> None:
    side = int(64 * scale) // 16 * 16
    ground = scene(side + 32, side + 32, seed=8)
    hr = ground[16 : 16 + side, 16 : 16 + side]
    rows, columns = (slice(16 - part, 16 - part + side) for part in step)
    lr = downsample_bicubic(hr, lr_size((side, side), scale))
    ratio = side / lr.shape[0]
    found = consistency(ground[rows, columns], lr, scale)
    assert found.shift is not None
    assert found.shift == pytest.approx((step[0] / ratio, step[1] / ratio), abs=0.08)
    assert found.metrics()["lr_shift_px"] == pytest.approx(math.hypot(*step) / ratio, abs=0.1)
    back = downsample_bicubic(ground[rows, columns], (lr.shape[0], lr.shape[1]))
    window = np.outer(*(np.hanning(length + 2)[1:-1] for length in lr.shape[:2]))
    one, two = (window * (image.mean(axis=2) - image.mean()) for image in (lr, back))
    theirs, _, _ = phase_cross_correlation(one, two, upsample_factor=100, normalization=None)
    assert found.shift == pytest.approx(-theirs, abs=0.15)


@settings(max_examples=40)
@given(
    size=st.tuples(st.integers(30, 61), st.integers(30, 61)),
    scale=st.floats(1, 4),
    num_bands=st.integers(1, 5),
    seed=st.integers(0, 100),
)
def test_unknown_pixels_do_not_spread(size: tuple[int, int], scale: float, num_bands: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    sr = as_reflectance(scene(*size, num_bands))
    lr = taken_down(sr, lr_size(size, scale))
    sr[generator.integers(size[0]), generator.integers(size[1]), generator.integers(num_bands)] = np.nan
    lr[generator.integers(lr.shape[0]), generator.integers(lr.shape[1]), generator.integers(num_bands)] = np.nan
    mask = np.ones(lr.shape[:2], bool)
    mask[0, : lr.shape[1] // 2] = False
    found = consistency(sr, lr, scale, valid_mask=mask)
    assert found.band_errors == pytest.approx((0,) * num_bands, abs=1e-6), "what is compared is what LR was made of"
    unknown = np.isnan(found.error_map)
    assert unknown[~mask].all()
    assert unknown[np.isnan(lr).any(axis=2)].all()
    assert unknown.sum() == unknown.size - found.num_pixels
    assert unknown.sum() <= 5 * 5 + 5 * 5 + 3 * (lr.shape[1] // 2 + 2), "a neighbourhood of each"
    assert found.shift is None or found.shift.length < 1e-3


def test_nodata_of_grey_levels_is_left_out_by_its_mask() -> None:
    hr = scene()
    lr = downsample_bicubic(hr, (24, 30))
    mask = np.ones((24, 30), bool)
    mask[:9, 5:12] = False
    spoilt_lr, spoilt_sr = lr.copy(), hr.copy()
    spoilt_lr[~mask] = 0
    spoilt_sr[: 9 * 4, 5 * 4 : 12 * 4] = 255
    assert consistency(spoilt_sr, spoilt_lr, 4).error > 5
    found = consistency(spoilt_sr, spoilt_lr, 4, valid_mask=mask)
    assert (found.error, found.spectral_angle_deg) == (0, 0)
    assert found.shift is not None
    assert found.shift.length < 1e-9


def test_an_sr_image_made_from_any_lr_size_at_a_fractional_scale_is_taken() -> None:
    lr = as_reflectance(scene(12, 13))
    sr = np.repeat(np.repeat(lr, 3, axis=0), 3, axis=1)[:32, :35]  # 12 x 2.7 = 32.4, 13 x 2.7 = 35.1 pixels
    assert lr_size((32, 35), 2.7) != (12, 13)
    assert consistency(sr, lr, 2.7).error < 0.1


def test_input_that_does_not_fit_is_refused() -> None:
    lr = scene(24, 30)
    for sr, scale, words in (
        (scene(96, 124), 4.0, "not a ratio of 4"),
        (scene(96, 120), 3.0, "not a ratio of 3"),
        (scene(96, 120, 4), 4.0, "differ"),
        (as_reflectance(scene(96, 120)), 4.0, "differ"),
    ):
        with pytest.raises(ImageError, match=words):
            consistency(sr, lr, scale)
    with pytest.raises(ImageError, match="No pixel is known"):
        consistency(scene(96, 120), lr, 4, valid_mask=np.zeros((24, 30), bool))
    with pytest.raises(DataError, match="scale"):
        consistency(lr, lr, 0.5)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import fourier_shift, gaussian_filter
from skimage.registration import phase_cross_correlation

from rssr.metrics.shift import Shift, spatial_shift
from rssr.scenes import generate_scene

Values = NDArray[np.float64]


def texture(seed: int, height: int, width: int, num_bands: int = 1) -> Values:
    """Smooth noise, periodic, without aliases."""
    noise = np.random.default_rng(seed).normal(size=(height, width, num_bands))
    return gaussian_filter(noise, (1.5, 1.5, 0), mode="wrap")


def moved(values: Values, shift: tuple[float, float]) -> Values:
    bands = [np.fft.ifft2(fourier_shift(np.fft.fft2(values[..., n]), shift)).real for n in range(values.shape[2])]
    return np.stack(bands, axis=-1)


def found(image: Values, reference: Values, known: NDArray[np.bool_] | None = None) -> Shift:
    shift = spatial_shift(image, reference, np.ones(image.shape[:2], bool) if known is None else known)
    assert shift is not None
    return shift


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(31, 72), st.integers(31, 72)),
    shift=st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
    num_bands=st.integers(1, 5),
    seed=st.integers(0, 100),
)
def test_known_shifts_are_found_to_a_fraction_of_a_pixel(
    size: tuple[int, int], shift: tuple[float, float], num_bands: int, seed: int
) -> None:
    reference = texture(seed, *size, num_bands)
    assert found(moved(reference, shift), reference) == pytest.approx(shift, abs=0.15)


@pytest.mark.parametrize("shift", [(0, 0), (3, 0), (0, -7), (-5, 2), (11, 9)])
def test_whole_shifts_of_scenes_are_found(shift: tuple[int, int]) -> None:
    scene = generate_scene(5, 96, 96).astype(np.float64)
    rows, columns = (slice(16 - step, 80 - step) for step in shift)
    result = found(scene[rows, columns], scene[16:80, 16:80])
    assert result == pytest.approx(shift, abs=1e-6)
    assert result.length == pytest.approx(np.hypot(*shift))


@pytest.mark.parametrize("shift", [(0.4, 0.0), (-1.3, 0.7), (2.25, -3.5)])
def test_agrees_with_an_independent_implementation(shift: tuple[float, float]) -> None:
    scene = generate_scene(6, 64, 64).astype(np.float64).mean(axis=2, keepdims=True)
    reference = gaussian_filter(scene - scene.mean(), (1, 1, 0), mode="wrap")
    image = moved(reference, shift)
    theirs, _, _ = phase_cross_correlation(reference[..., 0], image[..., 0], upsample_factor=100, normalization=None)
    assert theirs == pytest.approx(np.negative(shift), abs=0.01)
    assert found(image, reference) == pytest.approx(shift, abs=0.05)
    assert found(image, reference) == pytest.approx(-theirs, abs=0.05)


def test_bands_of_opposite_contrast_do_not_cancel() -> None:
    band = texture(1, 48, 48)
    reference = np.concatenate([band, -band], axis=2)
    assert found(moved(reference, (1.5, -0.5)), reference) == pytest.approx((1.5, -0.5), abs=0.1)


def test_brightness_and_contrast_do_not_move_an_image() -> None:
    reference = texture(2, 40, 50, 3)
    assert found(3 * reference + 20, reference).length < 1e-6


def test_unknown_pixels_do_not_hold_a_moved_image_in_place() -> None:
    reference = texture(3, 64, 64)
    known = np.ones((64, 64), bool)
    known[20:34, 25:45] = known[:, :6] = False
    image = np.where(known[..., None], moved(reference, (1.0, -1.5)), 0)
    assert found(image, np.where(known[..., None], reference, 0), known) == pytest.approx((1.0, -1.5), abs=0.15)
    junk = np.where(known[..., None], image, 1e6)
    assert found(junk, reference, known) == found(image, reference, known)


def test_nothing_is_said_where_there_is_nothing_to_tell_it_from() -> None:
    flat = np.full((32, 32, 3), 0.1)
    everywhere = np.ones((32, 32), bool)
    assert spatial_shift(flat, flat, everywhere) is None
    assert spatial_shift(texture(1, 32, 32, 3), flat, everywhere) is None
    assert spatial_shift(texture(1, 7, 90), texture(1, 7, 90), np.ones((7, 90), bool)) is None
    assert spatial_shift(texture(1, 32, 32), texture(1, 32, 32), ~everywhere) is None
    unrelated = [spatial_shift(texture(n, 64, 64), texture(n + 50, 64, 64), np.ones((64, 64), bool)) for n in range(20)]
    assert unrelated.count(None) >= 18

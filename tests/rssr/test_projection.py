import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.axes import averaging_matrix
from rssr.projection import LowFrequencyProjection
from rssr.scenes import generate_scene
from rssr.tiling import output_size

SCALES = [1, 2, 4, 8, 1.5, 3.4, 2.7182818]


def projected(sr: np.ndarray, lr: np.ndarray, mask: np.ndarray, step: int, **more: object) -> np.ndarray:
    size = sr.shape[1], sr.shape[2]
    projection = LowFrequencyProjection(
        mask.shape,
        size,
        lambda first, stop: (lr[:, first:stop], mask[first:stop]),
        **more,  # type: ignore[arg-type]  # plain values
    )
    parts = [sr[:, row : row + step].copy() for row in range(0, size[0], step)]
    return np.concatenate(list(projection.rows(parts)), axis=1)


def means(sr: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows, columns = (averaging_matrix(fine, coarse) for fine, coarse in zip(sr.shape[1:], size, strict=True))
    return np.stack([rows @ band.astype(np.float64) @ columns.T for band in sr])


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 40)),
    st.sampled_from(SCALES),
    st.integers(1, 300),
    st.floats(0, 0.9),
)
def test_means_over_lr_pixels_come_out_at_any_size_and_scale(
    size: tuple[int, int], scale: float, step: int, missing: float
) -> None:
    rng = np.random.default_rng(1)
    lr, mask = rng.random((2, *size)).astype(np.float32), rng.random(size) >= missing
    sr = rng.random((2, *output_size(size, scale))).astype(np.float32)
    result = projected(sr, lr, mask, step)
    assert result.shape == sr.shape
    np.testing.assert_allclose(means(result, size)[:, mask], lr[:, mask], atol=2e-6)


def test_rows_may_come_in_any_portions() -> None:
    rng = np.random.default_rng(2)
    lr, mask = rng.random((1, 150, 20)).astype(np.float32), rng.random((150, 20)) > 0.1
    sr = rng.random((1, 510, 68)).astype(np.float32)
    first = projected(sr, lr, mask, 1000)
    for step in (1, 7, 64, 256):
        assert projected(sr, lr, mask, step).tobytes() == first.tobytes()


def test_what_fits_already_is_left_alone() -> None:
    lr = generate_scene(1, 40, 50).transpose(2, 0, 1).astype(np.float32)
    sr = lr.repeat(4, 1).repeat(4, 2)
    np.testing.assert_allclose(projected(sr, lr, np.ones((40, 50), np.bool_), 64), sr, atol=1e-4)


@pytest.mark.parametrize("scale", [4, 3.4])
def test_what_is_added_has_no_edges_at_the_borders_of_lr_pixels(scale: float) -> None:
    """Of two unrelated images, so that much must be added everywhere."""
    lr = generate_scene(2, 80, 80).transpose(2, 0, 1).astype(np.float32)
    size = output_size((80, 80), scale)
    sr = generate_scene(3, *size).transpose(2, 0, 1).astype(np.float32)
    added = projected(sr, lr, np.ones((80, 80), np.bool_), 64) - sr
    assert added.std() > 10
    for steps in (np.abs(np.diff(added, axis=1)), np.abs(np.diff(added, axis=2)).swapaxes(1, 2)):
        crosses = np.diff((np.arange(size[0]) + 0.5) * 80 // size[0]) > 0
        assert steps[:, crosses].mean() < 1.3 * steps[:, ~crosses].mean()


def test_missing_pixels_change_little_beyond_themselves() -> None:
    rng = np.random.default_rng(4)
    lr, mask = rng.random((1, 60, 60)).astype(np.float32), np.ones((60, 60), np.bool_)
    sr = rng.random((1, 240, 240)).astype(np.float32)
    whole = projected(sr, lr, mask, 64)
    mask[30, 20:24], lr[:, 30, 20:24] = False, 0
    changed = np.abs(projected(sr, lr, mask, 64) - whole)[0]
    assert changed[:80].max() < 1e-6
    assert changed[120:124, 80:96].max() > 0.1
    assert changed[112:116, 80:96].max() < 0.2 * changed[120:124, 80:96].max()


def test_only_some_bands_may_be_changed() -> None:
    rng = np.random.default_rng(5)
    lr, sr = rng.random((3, 20, 20)).astype(np.float32), rng.random((3, 40, 40)).astype(np.float32)
    mask = np.ones((20, 20), np.bool_)
    result, all_of_them = projected(sr, lr, mask, 9, bands=[1]), projected(sr, lr, mask, 9)
    np.testing.assert_array_equal(result[[0, 2]], sr[[0, 2]])
    np.testing.assert_array_equal(result[1], all_of_them[1])


def test_a_scene_without_data_is_left_alone() -> None:
    sr = np.random.default_rng(6).random((1, 40, 40)).astype(np.float32)
    np.testing.assert_array_equal(projected(sr, np.zeros((1, 20, 20)), np.zeros((20, 20), np.bool_), 9), sr)


def test_wide_rows_and_double_precision_work() -> None:
    rng = np.random.default_rng(7)
    lr, sr = rng.random((1, 2, 11_000)) * 1e9, rng.random((1, 8, 44_000)) * 1e9
    result = projected(sr, lr, np.ones((2, 11_000), np.bool_), 8)
    assert result.dtype == np.float64
    np.testing.assert_allclose(means(result, (2, 11_000)), lr, rtol=1e-9)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.errors import ImageError
from rssr.masks import enlarge_mask
from rssr.metrics.consistency import consistency
from rssr.metrics.consistency_rows import ConsistencyRows
from rssr.scenes import generate_scene
from rssr.tiling import output_size


def error_map(sr: np.ndarray, lr: np.ndarray, mask: np.ndarray, step: int) -> np.ndarray:
    size = sr.shape[1], sr.shape[2]
    rows = ConsistencyRows(mask.shape, size, lambda first, stop: (lr[:, first:stop], mask[first:stop]))
    found = [part for row in range(0, size[0], step) for part in rows.add(sr[:, row : row + step])]
    for values, known in found:
        np.testing.assert_array_equal(np.isfinite(values[0]), known)
    return np.concatenate([values for values, _ in found], axis=1)[0]


@settings(max_examples=50, deadline=None)
@given(
    size=st.tuples(st.integers(1, 110), st.integers(1, 40)),
    scale=st.sampled_from([1, 2, 4, 8, 3.4, 1.5]),
    step=st.integers(1, 300),
    missing=st.sampled_from([0, 0.002, 0.3]),
)
def test_it_is_the_error_map_of_the_whole_image(size: tuple[int, int], scale: float, step: int, missing: float) -> None:
    rng = np.random.default_rng(3)
    lr = (rng.random((3, *size)) * 100).astype(np.float32)
    sr = (rng.random((3, *output_size(size, scale))) * 100).astype(np.float32)
    mask = rng.random(size) >= missing
    lr[:, ~mask] = 0
    sr[:, ~enlarge_mask(mask, sr.shape[1:])] = 0
    found = error_map(sr, lr, mask, step)
    try:
        whole = consistency(sr.transpose(1, 2, 0), lr.transpose(1, 2, 0), scale, valid_mask=mask)
    except ImageError:
        assert not np.isfinite(found).any()
        return
    np.testing.assert_allclose(found, whole.error_map, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_was_taken_from_the_lr_image_hardly_differs_and_what_was_not_does(dtype: type) -> None:
    hr = generate_scene(1, 256, 256).transpose(2, 0, 1).astype(dtype)
    lr = hr.reshape(3, 64, 4, 64, 4).mean(axis=(2, 4)).astype(dtype)
    mask = np.ones((64, 64), np.bool_)
    true, wrong = error_map(hr, lr, mask, 50), error_map(hr[:, ::-1].copy(), lr, mask, 50)
    assert true.mean() < 0.4 * wrong.mean()

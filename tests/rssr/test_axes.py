import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from rssr.axes import averaging_matrix, cubic_matrix, linear_matrix, taps

lengths = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(sorted)


@settings(deadline=None)
@given(lengths)
def test_means_of_the_ground_keep_the_total(pair: list[int]) -> None:
    coarse, fine = pair
    matrix = averaging_matrix(fine, coarse).toarray()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(matrix.sum(axis=0), coarse / fine, atol=1e-12)
    assert (matrix >= 0).all()


def test_parts_of_pixels_count_by_their_size() -> None:
    np.testing.assert_allclose(averaging_matrix(5, 2).toarray(), [[0.4, 0.4, 0.2, 0, 0], [0, 0, 0.2, 0.4, 0.4]])


@settings(deadline=None)
@given(lengths)
def test_interpolation_is_that_of_pytorch(pair: list[int]) -> None:
    coarse, fine = pair
    row = torch.randn(1, 1, 1, coarse, dtype=torch.float64)
    for matrix, mode in ((linear_matrix(coarse, fine), "bilinear"), (cubic_matrix(coarse, fine), "bicubic")):
        expected = F.interpolate(row, size=(1, fine), mode=mode, align_corners=False)
        np.testing.assert_allclose(matrix @ row.numpy().ravel(), expected.numpy().ravel(), atol=1e-9)


@pytest.mark.parametrize("scale", [1, 2, 3.4, 4])
def test_parts_of_a_matrix_take_few_pixels(scale: float) -> None:
    matrix = cubic_matrix(100, round(100 * scale))
    first, stop = taps(matrix[round(50 * scale) : round(60 * scale)])
    assert 47 <= first <= 49
    assert 61 <= stop <= 63

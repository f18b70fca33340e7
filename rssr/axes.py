"""Resizing along one axis as sparse matrices, of which any rows can be taken: for images that are made in parts.

Both grids cover the same ground, edges repeat. Output pixel i of n lies at (i + 1/2) H / n - 1/2 among H input pixels.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Kernel = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Weights at distances, input pixels."""


def averaging_matrix(num_inputs: int, num_outputs: int) -> csr_matrix:
    """To a coarser grid: each output pixel is the mean of the ground it covers, parts of pixels included.

    Returns:
        [outputs, inputs], float64; rows add to one.
    """
    bounds = np.union1d(np.arange(num_inputs + 1) * num_outputs, np.arange(num_outputs + 1) * num_inputs)
    pieces = np.diff(bounds) / num_inputs  # all places are counted in parts of an input pixel, num_outputs to one
    rows, columns = bounds[:-1] // num_inputs, bounds[:-1] // num_outputs
    return csr_matrix((pieces, (rows, columns)), shape=(num_outputs, num_inputs))


def linear_matrix(num_inputs: int, num_outputs: int) -> csr_matrix:
    """To a finer grid, linearly."""
    return _interpolation(num_inputs, num_outputs, np.arange(2), lambda distance: 1 - distance)


def cubic_matrix(num_inputs: int, num_outputs: int) -> csr_matrix:
    """To a finer grid, by Keys' kernel with a = -0.75, as `rssr.resampling.upsample_bicubic`."""
    return _interpolation(num_inputs, num_outputs, np.arange(-1, 3), _cubic)


def taps(matrix: csr_matrix) -> tuple[int, int]:
    """First and one-past-last input pixel that a matrix takes."""
    return int(matrix.indices.min()), int(matrix.indices.max()) + 1


def _interpolation(num_inputs: int, num_outputs: int, offsets: NDArray[np.intp], kernel: Kernel) -> csr_matrix:
    centres = (np.arange(num_outputs) + 0.5) * num_inputs / num_outputs - 0.5
    places = np.floor(centres)[:, None] + offsets
    weights = kernel(np.abs(places - centres[:, None]))
    rows = np.repeat(np.arange(num_outputs), len(offsets))
    columns = np.clip(places, 0, num_inputs - 1).astype(np.intp).ravel()
    matrix = csr_matrix((weights.ravel(), (rows, columns)), shape=(num_outputs, num_inputs))
    matrix.sum_duplicates()
    return matrix


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    a, d = -0.75, distance
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    return np.where(d <= 1, near, a * (d**3 - 5 * d**2 + 8 * d - 4))

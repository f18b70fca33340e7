"""Fast resizing without antialiasing, with PyTorch's coordinates.

Half-pixel centres; bicubic a = -0.75. Bilinear and bicubic take coordinates from the given factor where there is
one, else from the ratio of sizes, as `torch.nn.functional.interpolate` does. `area` is the adaptive average: output
pixel i of n averages input pixels floor(i H / n) to ceil((i + 1) H / n), so it depends on sizes alone.
"""

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from rssr.degradation.draws import ResizeMode, Size

FloatImage = npt.NDArray[np.float32]

_INTERPOLATIONS = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


def resize_by(image: FloatImage, factor: float, mode: ResizeMode) -> FloatImage:
    """Resize by a factor; sides are multiplied and rounded down, to 1 pixel at least.

    Args:
        image: float32 [H, W, 3].
        factor: Output over input size.
        mode: `area`, `bilinear` or `bicubic`.
    """
    if factor == 1:
        return image
    rows, columns = image.shape[:2]
    size = (max(1, int(rows * factor)), max(1, int(columns * factor)))
    if mode == "area" or min(rows, columns) * factor < 1:
        return resize_to(image, size, mode)
    if _is_nearly_one(factor, rows, columns):
        over_rows = _interpolation_matrix(rows, size[0], factor, mode)
        return _apply_separably(image, over_rows, _interpolation_matrix(columns, size[1], factor, mode))
    # OpenCV rounds the size to nearest but takes coordinates from the factor, so a surplus row is cut off.
    resized: FloatImage = cv2.resize(image, None, fx=factor, fy=factor, interpolation=_INTERPOLATIONS[mode])
    return resized[: size[0], : size[1]]


def resize_to(image: FloatImage, size: Size, mode: ResizeMode) -> FloatImage:
    """Resize to a given height and width; see `resize_by`."""
    if image.shape[:2] == size:
        return image
    if mode == "area":
        rows, columns = image.shape[:2]
        return _apply_separably(image, _averaging_matrix(rows, size[0]), _averaging_matrix(columns, size[1]))
    resized: FloatImage = cv2.resize(image, (size[1], size[0]), interpolation=_INTERPOLATIONS[mode])
    return resized


def _is_nearly_one(factor: float, *sides: int) -> bool:
    """Whether a side keeps its length, or all do after rounding to nearest: there OpenCV copies the image."""
    return any(int(side * factor) == side for side in sides) or all(round(side * factor) == side for side in sides)


def _apply_separably(image: FloatImage, over_rows: csr_matrix, over_columns: csr_matrix) -> FloatImage:
    """Combine rows by one matrix [h, H], then columns, as rows of the transposed image, by the other [w, W]."""
    narrow = _transpose(_combine_rows(image, over_rows))
    return _transpose(_combine_rows(narrow, over_columns))


def _combine_rows(image: FloatImage, matrix: csr_matrix) -> FloatImage:
    flat = np.ascontiguousarray(image).reshape(len(image), -1)
    combined: FloatImage = matrix @ flat
    return combined.reshape(-1, *image.shape[1:])


def _averaging_matrix(num_inputs: int, num_outputs: int) -> csr_matrix:
    outputs = np.arange(num_outputs)
    starts = outputs * num_inputs // num_outputs
    stops = -((-(outputs + 1) * num_inputs) // num_outputs)
    counts = stops - starts
    bounds = np.concatenate([[0], np.cumsum(counts)])
    columns = np.arange(bounds[-1]) + np.repeat(starts - bounds[:-1], counts)
    weights = np.repeat(1 / counts, counts).astype(np.float32)
    return csr_matrix((weights, columns, bounds), shape=(num_outputs, num_inputs))


def _interpolation_matrix(num_inputs: int, num_outputs: int, factor: float, mode: ResizeMode) -> csr_matrix:
    if mode == "bilinear" and num_inputs == num_outputs:
        factor = 1.0  # PyTorch leaves an axis of unchanged length alone in this mode, and in this mode only
    centres = (np.arange(num_outputs) + 0.5) / factor - 0.5
    offsets = np.arange(2) if mode == "bilinear" else np.arange(-1, 3)
    taps = np.floor(centres)[:, None] + offsets
    distances = np.abs(taps - centres[:, None])
    weights = 1 - distances if mode == "bilinear" else _cubic_weights(distances)
    rows = np.repeat(np.arange(num_outputs), len(offsets))
    columns = np.clip(taps, 0, num_inputs - 1).astype(np.int64).ravel()  # edge pixels repeat; duplicates add up
    shape = (num_outputs, num_inputs)
    return csr_matrix((weights.astype(np.float32).ravel(), (rows, columns)), shape=shape)


def _cubic_weights(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' cubic convolution with a = -0.75, at distances up to 2."""
    a, d = -0.75, distances
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, far)


def _transpose(image: FloatImage) -> FloatImage:
    transposed: FloatImage = cv2.transpose(image)
    return transposed

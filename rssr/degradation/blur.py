"""Fast correlation of an image with one blur kernel.

A kernel drawn at 21 x 21 is mostly zeros or nearly separable. It is cut to the pixels that matter and applied
either directly or as a sum of separable filters, whichever is cheaper. Both cuts together change no pixel by more
than `MAX_ERROR` of the image's range.
"""

import cv2
import numpy as np
import numpy.typing as npt

from rssr.degradation.kernels import Kernel

Image = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
FloatImage = npt.NDArray[np.float32]
MAX_ERROR = 2e-4  # of the image's range: a twentieth of one 8-bit level

# OpenCV filters directly up to 129 taps and by Fourier transform above. Costs were measured for float32 images of
# three channels, in units of one directly applied tap; only their ratios matter.
_MAX_DIRECT_TAPS = 129
_FOURIER_COST = 450
_SEPARABLE_COST = 8  # one separable filter and the addition of its result
_SEPARABLE_TAP_COST = 3


def blur(image: Image, kernel: Kernel) -> FloatImage:
    """Correlate every channel with a kernel; borders are reflected without repeating the edge pixel.

    Args:
        image: uint8 or float32 [H, W, 3], any size.
        kernel: float64 [k, k], k odd, adding up to 1.

    Returns:
        float32 [H, W, 3], in the units of the image.
    """
    trimmed = trim_kernel(kernel)
    factors = separate_kernel(trimmed)
    taps = trimmed.size
    direct_cost = taps if taps <= _MAX_DIRECT_TAPS else _FOURIER_COST
    if len(factors) * (_SEPARABLE_COST + _SEPARABLE_TAP_COST * len(trimmed)) < direct_cost:
        return _filter_separably(image, factors)
    source = np.asarray(image, dtype=np.float32)
    weights = trimmed.astype(np.float32)
    filtered: FloatImage = cv2.filter2D(source, cv2.CV_32F, weights, borderType=cv2.BORDER_REFLECT_101)
    return filtered


def trim_kernel(kernel: Kernel) -> Kernel:
    """Cut off the outer rings whose weights add up to less than half of `MAX_ERROR`; the rest adds up to 1."""
    magnitude = np.abs(kernel)
    allowed = magnitude.sum() - MAX_ERROR / 2
    margin = 0
    while (
        2 * margin + 2 < len(kernel) and magnitude[margin + 1 : -margin - 1, margin + 1 : -margin - 1].sum() >= allowed
    ):
        margin += 1
    trimmed = kernel[margin : len(kernel) - margin, margin : len(kernel) - margin]
    normalized: Kernel = trimmed / trimmed.sum()
    return normalized


def separate_kernel(kernel: Kernel) -> list[tuple[Kernel, Kernel]]:
    """The fewest (column, row) pairs whose outer products add up to the kernel within half of `MAX_ERROR`."""
    columns, strengths, rows = np.linalg.svd(kernel)
    rest = kernel.copy()
    factors: list[tuple[Kernel, Kernel]] = []
    for column, strength, row in zip(columns.T, strengths, rows, strict=True):
        factors.append((column * strength, row))
        rest -= np.outer(column * strength, row)
        if np.abs(rest).sum() <= MAX_ERROR / 2:
            break
    return factors


def _filter_separably(image: Image, factors: list[tuple[Kernel, Kernel]]) -> FloatImage:
    total: FloatImage | None = None
    for column, row in factors:
        part: FloatImage = cv2.sepFilter2D(image, cv2.CV_32F, row, column, borderType=cv2.BORDER_REFLECT_101)
        total = part if total is None else cv2.add(total, part, dst=total)
    assert total is not None  # a kernel has at least one factor
    return total

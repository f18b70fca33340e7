"""Bands that a model does not take, enlarged bicubically, some rows at a time."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from rssr.axes import cubic_matrix, taps
from rssr.masks import filled

Rows = NDArray[np.floating]
ReadLr = Callable[[int, int], tuple[NDArray[np.number], NDArray[np.bool_]]]


class BicubicRows:
    """Rows of an image's bicubic enlargement, as `rssr.resampling.upsample_bicubic` makes it of the whole.

    Args:
        lr_size: (h, w).
        sr_size: (H, W).
        read_lr: First and one-past-last LR row to their values [C, rows, w] and mask [rows, w].
    """

    def __init__(self, lr_size: tuple[int, int], sr_size: tuple[int, int], read_lr: ReadLr) -> None:
        self._matrix = cubic_matrix(lr_size[0], sr_size[0])
        self._width = sr_size[1]
        self._read_lr = read_lr

    def rows(self, first: int, num_rows: int, dtype: type[np.floating]) -> Rows:
        """Some rows, [C, rows, W], holes filled from around them."""
        part = self._matrix[first : first + num_rows]
        top, bottom = taps(part)
        values, mask = self._read_lr(top, bottom)
        whole = filled(values, mask) if mask.any() else np.zeros_like(values)
        num_bands, height, width = whole.shape
        flat = part[:, top:bottom] @ whole.transpose(1, 0, 2).reshape(height, -1)
        lines = flat.astype(dtype).reshape(num_rows, num_bands, width)
        enlarged = np.empty((num_bands, num_rows, self._width), dtype)
        for band in range(num_bands):
            plane = np.ascontiguousarray(lines[:, band])
            enlarged[band] = cv2.resize(plane, (self._width, num_rows), interpolation=cv2.INTER_CUBIC)
        return enlarged

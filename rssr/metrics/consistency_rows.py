"""`rssr.metrics.consistency`'s error map of images that are made from top to bottom, in a few rows of memory."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rssr.metrics.known import kernel_bounds
from rssr.tiling import nearest_lr

Mask = NDArray[np.bool_]
ReadLr = Callable[[int, int], tuple[NDArray[np.number], Mask]]

_BLOCK = 32  # LR rows that are compared at a time


class ErrorRows(NamedTuple):
    """Rows of an error map.

    Attributes:
        values: Mean over the bands of the absolute error, float32 [1, rows, w], in the unit of the image.
        known: Where it could be told, bool [rows, w].
    """

    values: NDArray[np.float32]
    known: Mask


class ConsistencyRows:
    """Takes SR back to the LR grid and compares it with LR.

    Args:
        lr_size: (h, w).
        sr_size: (H, W).
        read_lr: First and one-past-last LR row to their values [C, rows, w], in the unit of SR, and which are real,
            [rows, w]; SR is real where the LR pixel that it lies in is.
    """

    def __init__(self, lr_size: tuple[int, int], sr_size: tuple[int, int], read_lr: ReadLr) -> None:
        self._lr_size, self._sr_size = lr_size, sr_size
        self._read_lr = read_lr
        self._sources = kernel_bounds(sr_size[0], lr_size[0])
        rows, columns = (
            tuple(nearest_lr(lr, sr)[ends] for ends in _ends(kernel_bounds(sr, lr)))
            for lr, sr in zip(lr_size, sr_size, strict=True)
        )
        self._touched = rows, columns
        self._held: NDArray[np.float32] | None = None
        self._first = 0  # SR row
        self._next = 0  # LR row

    def add(self, pixels: NDArray[Any]) -> list[ErrorRows]:
        """Take in the next rows [C, rows, W], 0 where they are not real; hands out what can be told now."""
        narrow = _resized(pixels, (self._lr_size[1], pixels.shape[1]))
        self._held = narrow if self._held is None else np.concatenate([self._held, narrow], axis=1)
        found = []
        while self._next < self._lr_size[0]:
            stop = min(self._next + _BLOCK, self._lr_size[0])
            if self._first + self._held.shape[1] < self._sources[1][stop - 1]:
                break
            found.append(self._compare(self._held, stop))
            self._next = stop
            surplus = int(self._sources[0][min(stop, self._lr_size[0] - 1)]) - self._first
            self._held, self._first = self._held[:, surplus:], self._first + surplus
        return found

    def _compare(self, held: NDArray[np.float32], stop: int) -> ErrorRows:
        lr, known = self._known(stop)
        step = self._sr_size[0] / self._lr_size[0]
        ends = self._next * step - self._first, stop * step - self._first
        box = 0, ends[0], self._lr_size[1], min(ends[1], held.shape[1])
        back = _resized(held, (self._lr_size[1], stop - self._next), box)
        error = np.abs(back.astype(np.float64) - np.where(known, lr, 0)).mean(axis=0)
        return ErrorRows(np.where(known, error, np.nan).astype(np.float32)[None], known)

    def _known(self, stop: int) -> tuple[NDArray[np.number], Mask]:
        """LR rows, and where neither they nor the SR pixels that are taken back to them are unknown."""
        (top, bottom), (left, right) = self._touched
        first, last = int(top[self._next]), int(bottom[stop - 1]) + 1
        first, last = min(first, self._next), max(last, stop)
        lr, mask = self._read_lr(first, last)
        own = slice(self._next - first, stop - first)
        if mask.all():
            return lr[:, own], mask[own]
        sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
        sums[1:, 1:] = (~mask).cumsum(axis=0).cumsum(axis=1)
        rows = top[self._next : stop] - first, bottom[self._next : stop] - first + 1
        columns = left, right + 1
        inside = sums[np.ix_(rows[1], columns[1])] - sums[np.ix_(rows[0], columns[1])]
        outside = sums[np.ix_(rows[1], columns[0])] - sums[np.ix_(rows[0], columns[0])]
        return lr[:, own], mask[own] & (inside == outside)


def _ends(bounds: tuple[NDArray[np.int64], NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last SR pixel."""
    return bounds[0], bounds[1] - 1


def _resized(
    image: NDArray[Any], size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> NDArray[np.float32]:
    """Pillow's antialiased bicubic resizing of [C, h, w], or of a part of it, to (width, height)."""
    bands = (
        Image.fromarray(band.astype(np.float32, copy=False)).resize(size, Image.Resampling.BICUBIC, box=box)
        for band in image
    )
    return np.stack([np.asarray(band, dtype=np.float32) for band in bands])

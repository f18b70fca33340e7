"""What windows that could not be computed leave of a scene: a hole that no figure and no neighbour is told from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rssr.tiling import TilePlan, nearest_lr
from rssr.windows import Fetch, FloatArray, TileWindow

Mask = NDArray[np.bool_]
Rectangle = tuple[slice, slice]


@dataclass(frozen=True)
class MissingPixels:
    """Rectangles without a result.

    Attributes:
        sr: SR pixels to which a tile that is missing contributes.
        lr: LR pixels in which any of them lies.
    """

    sr: tuple[Rectangle, ...] = ()
    lr: tuple[Rectangle, ...] = ()

    @classmethod
    def of(cls, plan: TilePlan, windows: Iterable[TileWindow]) -> "MissingPixels":
        """Those of some windows."""
        sr = tuple(window.sr(plan) for window in windows)
        nearest = tuple(nearest_lr(lr, sr) for lr, sr in zip(plan.lr_size, plan.sr_size, strict=True))
        lr = tuple((_behind(nearest[0], rows), _behind(nearest[1], columns)) for rows, columns in sr)
        return cls(sr, lr)

    def known_sr(self, mask: Mask, first: int) -> Mask:
        """A mask of SR rows from this one on, true only where there is a result."""
        return _without(self.sr, mask, first)

    def known_lr(self, mask: Mask, first: int) -> Mask:
        """A mask of LR rows from this one on, true only where there is a result of the whole pixel."""
        return _without(self.lr, mask, first)


def zeros_for(failed: Sequence[TileWindow], plan: TilePlan, num_bands: int, fetch: Fetch) -> Fetch:
    """Zeros in place of the strips of windows that could not be computed; nobody is asked for these.

    Args:
        failed: These windows.
        plan: How the scene is cut.
        num_bands: Of a strip.
        fetch: Gives the others.
    """
    keys = {window.key for window in failed}

    def fetched(window: TileWindow, row: int) -> FloatArray:
        if window.key not in keys:
            return fetch(window, row)
        (top, bottom), columns = plan.rows[row].sr, window.sr_columns(plan)
        return np.zeros((num_bands, bottom - top, columns.stop - columns.start), np.float32)

    return fetched


def _behind(nearest: NDArray[np.intp], pixels: slice) -> slice:
    return slice(int(nearest[pixels.start]), int(nearest[pixels.stop - 1]) + 1)


def _without(rectangles: Sequence[Rectangle], mask: Mask, first: int) -> Mask:
    stop = first + len(mask)
    touched = [(rows, columns) for rows, columns in rectangles if rows.start < stop and first < rows.stop]
    if not touched:
        return mask
    known = mask.copy()
    for rows, columns in touched:
        known[max(rows.start - first, 0) : rows.stop - first, columns] = False
    return known

"""One band over the pixels of a scene whose grid may be finer than its own."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rssr.raster import Mask, RasterInfo, RasterReader, Window

_SAME_PLACE = 1e-3  # of a pixel


@dataclass(frozen=True)
class BandGrid:
    """A band that the scene's grid cuts into whole pixels.

    Attributes:
        reader: The file, open.
        position: Of the band among the file's, from 0.
        step: Scene pixels along a side of one of the band's own.
    """

    reader: RasterReader
    position: int
    step: int

    @classmethod
    def over(cls, scene: RasterInfo, reader: RasterReader, position: int) -> "BandGrid | None":
        """The band over a scene's pixels; None where they do not cover the same ground in whole steps."""
        own = reader.info
        step = round(scene.size[0] / own.size[0])
        if step < 1 or (own.size[0] * step, own.size[1] * step) != scene.size:
            return None
        difference = ~scene.transform @ own.transform  # own pixels to the scene's
        expected = (step, 0.0, 0.0, 0.0, step, 0.0)
        slack = [_SAME_PLACE / max(own.size), _SAME_PLACE / max(own.size), _SAME_PLACE] * 2
        close = (abs(found - right) <= least for found, right, least in zip(difference, expected, slack, strict=False))
        return cls(reader, position, step) if all(close) else None

    @property
    def info(self) -> RasterInfo:
        """Of the band's file."""
        return self.reader.info

    def read(self, window: Window) -> tuple[NDArray[np.number], Mask]:
        """Stored numbers [h, w] of a window of the scene, and where they are data: not 0, nor marked as missing."""
        if self.step == 1:
            return self._read_own(window)
        rows, row_weights = _neighbours(window.row, window.height, self.step, self.info.size[0])
        columns, column_weights = _neighbours(window.column, window.width, self.step, self.info.size[1])
        top, left = int(rows.min()), int(columns.min())
        held = Window(top, left, int(rows.max()) - top + 1, int(columns.max()) - left + 1)
        numbers, mask = self._read_own(held)
        over_rows = _mix(numbers.astype(np.float32), rows - top, row_weights)
        enlarged = _mix(over_rows.T, columns - left, column_weights).T
        nearest_rows = np.arange(window.row, window.row + window.height) // self.step - top
        nearest_columns = np.arange(window.column, window.column + window.width) // self.step - left
        touched = mask[np.ix_(rows[0] - top, columns[0] - left)] & mask[np.ix_(rows[1] - top, columns[1] - left)]
        touched &= mask[np.ix_(rows[0] - top, columns[1] - left)] & mask[np.ix_(rows[1] - top, columns[0] - left)]
        # A hole's numbers mean nothing, so its neighbours are taken as they are instead of mixed with it.
        plain = numbers[np.ix_(nearest_rows, nearest_columns)].astype(np.float32)
        return np.where(touched, enlarged, plain), mask[np.ix_(nearest_rows, nearest_columns)]

    def _read_own(self, window: Window) -> tuple[NDArray[np.number], Mask]:
        pixels, mask = self.reader.read_bands([self.position], window)
        numbers = np.where(mask[0], pixels[0], pixels.dtype.type(0))
        has_data: Mask = mask[0] & (numbers != 0)
        return numbers, has_data


def _neighbours(first: int, length: int, step: int, side: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Own pixels [2, length] that scene pixels lie between, and the weight [length] of the second.

    A function of the position in the scene alone: windows have no seams. Beyond an edge the edge goes on.
    """
    centres = (np.arange(first, first + length) + 0.5) / step - 0.5
    before = np.floor(centres)
    weights = (centres - before).astype(np.float32)
    pair = np.stack([before, before + 1]).astype(np.int64)
    return np.clip(pair, 0, side - 1), weights


def _mix(values: NDArray[np.float32], pair: NDArray[np.int64], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows between rows."""
    mixed: NDArray[np.float32] = values[pair[0]] * (1 - weights)[:, None] + values[pair[1]] * weights[:, None]
    return mixed

"""Low-frequency projection: SR is changed so that its mean over every LR pixel is that pixel, and nowhere abruptly.

What SR lacks on the LR grid is spread by bilinear enlargement, after the (three-term) recursion has been solved that
enlargement and averaging make along each axis; so the means come out exactly, and what is added has no edges at the
borders of LR pixels. A pixel's part in its neighbours' solution fades by 0.17 a pixel, so a few rows around are enough.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded
from scipy.sparse import csr_matrix

from rssr.axes import averaging_matrix, linear_matrix
from rssr.masks import filled
from rssr.tiling import nearest_lr

Rows = NDArray[np.floating]
Mask = NDArray[np.bool_]
ReadLr = Callable[[int, int], tuple[NDArray[np.number], Mask]]
"""First and one-past-last LR row to their values [C, rows, w], in the unit of SR, and which are real, [rows, w]."""

_BLOCK = 32  # LR rows that are solved together; always the same ones, so that portions of SR do not matter
_MARGIN = 12  # LR rows on either side that are solved with them: 0.17^12 is less than a billionth


class LowFrequencyProjection:
    """Projects the rows of one image, from top to bottom; memory is about 100 LR rows at SR size.

    Args:
        lr_size: (h, w).
        sr_size: (H, W), at least as large.
        read_lr: Reads LR rows.
        bands: Which of the bands are changed; the others pass through.
    """

    def __init__(
        self, lr_size: tuple[int, int], sr_size: tuple[int, int], read_lr: ReadLr, bands: Iterable[int] | None = None
    ) -> None:
        self._lr_size, self._sr_size = lr_size, sr_size
        self._read_lr = read_lr
        self._bands = None if bands is None else list(bands)
        self._down, self._up = averaging_matrix(sr_size[0], lr_size[0]), linear_matrix(lr_size[0], sr_size[0])
        self._row_system = _bands_of(self._down, self._up)
        across = averaging_matrix(sr_size[1], lr_size[1]), linear_matrix(lr_size[1], sr_size[1])
        self._column_system = _bands_of(*across)

    def rows(self, sr: Iterable[Rows]) -> Iterator[Rows]:
        """Project an image.

        Args:
            sr: Rows [C, any number, W] that together are the image, in order.

        Yields:
            The same rows, in other portions.
        """
        queue = iter(sr)
        held = _Held()
        behind = nearest_lr(self._lr_size[0], self._sr_size[0])
        for start in range(0, self._lr_size[0], _BLOCK):
            block = slice(start, min(start + _BLOCK, self._lr_size[0]))
            around = slice(max(0, block.start - _MARGIN), min(self._lr_size[0], block.stop + _MARGIN))
            needed = -(-around.stop * self._sr_size[0] // self._lr_size[0])
            while held.stop < needed:
                rows = next(queue)
                held.add(rows, self._narrow(rows))
                del rows  # so that they are gone as soon as they are handed out
            own = slice(*(int(np.searchsorted(behind, row)) for row in (block.start, block.stop)))
            image = held.take(own)
            self._correct(image, own, around, held)
            yield image
            del image  # before more rows are made
            held.forget(around.stop - 2 * _MARGIN - 2, self._sr_size[0] / self._lr_size[0])

    def _correct(self, image: Rows, own: slice, around: slice, held: "_Held") -> None:
        """Add to some SR rows what they lack, from the LR rows around them."""
        lr, mask = self._read_lr(around.start, around.stop)
        if not mask.any() or image.shape[1] == 0:
            return
        chosen = slice(None) if self._bands is None else self._bands
        down = self._down[around, held.narrow_first : held.stop]
        means = _combined(down, held.narrow[chosen])
        lacking: Rows = np.subtract(lr[chosen], means, dtype=np.float64)
        solved = self._solved(filled(lacking, mask), around)
        spread = _combined(self._up[own, around], solved)
        width = self._sr_size[1]
        for band, part in zip(range(len(image)) if self._bands is None else self._bands, spread, strict=True):
            image[band] += _resized(part.astype(image.dtype), width, cv2.INTER_LINEAR)

    def _solved(self, lacking: Rows, around: slice) -> Rows:
        """What to enlarge so that its means are what is lacking [C, rows, w]."""
        num_bands, height, width = lacking.shape
        across = solve_banded((1, 1), self._column_system, lacking.transpose(2, 0, 1).reshape(width, -1))
        down = across.reshape(width, num_bands, height).transpose(2, 1, 0).reshape(height, -1)
        system = self._row_system[:, around].copy()
        solved: Rows = solve_banded((1, 1), system, down).reshape(height, num_bands, width).transpose(1, 0, 2)
        return solved

    def _narrow(self, rows: Rows) -> Rows:
        """Means over the columns of each LR pixel, [C, rows, w]."""
        return np.stack([_resized(band, self._lr_size[1], cv2.INTER_AREA) for band in rows])


class _Held:
    """SR rows that wait, and rows averaged across that are still needed."""

    def __init__(self) -> None:
        self._waiting: deque[Rows] = deque()
        self._nothing: Rows = np.zeros((0, 0, 0), np.float32)
        self.narrow: Rows = np.zeros((0, 0, 0), np.float32)
        self.narrow_first = 0
        self.stop = 0

    def add(self, rows: Rows, narrow: Rows) -> None:
        """Take in the next rows."""
        self._waiting.append(rows)
        self._nothing = rows[:, :0].copy()
        self.narrow = narrow if self.stop == 0 else np.concatenate([self.narrow, narrow], axis=1)
        self.stop += rows.shape[1]

    def take(self, rows: slice) -> Rows:
        """Hand out rows of the image, which begin where the last ones ended."""
        parts, missing = [self._nothing], rows.stop - rows.start
        while missing > 0:
            first = self._waiting.popleft()
            parts.append(first[:, :missing])
            if first.shape[1] > missing:
                self._waiting.appendleft(first[:, missing:])
            missing -= parts[-1].shape[1]
        return np.concatenate(parts, axis=1)

    def forget(self, lr_row: int, scale: float) -> None:
        """Let go of averaged rows above an LR row."""
        surplus = int(lr_row * scale) - self.narrow_first
        if surplus > 0:
            self.narrow = self.narrow[:, surplus:]
            self.narrow_first += surplus


def _bands_of(down: csr_matrix, up: csr_matrix) -> NDArray[np.float64]:
    """The three diagonals of enlarging and averaging, as `solve_banded` wants them."""
    product = down @ up
    bands = np.zeros((3, product.shape[0]))
    bands[0, 1:], bands[1], bands[2, :-1] = product.diagonal(1), product.diagonal(), product.diagonal(-1)
    return bands


def _combined(matrix: csr_matrix, values: Rows) -> Rows:
    """Combine rows of [C, n, w]: [C, outputs, w]."""
    num_bands, height, width = values.shape
    flat = matrix @ values.transpose(1, 0, 2).reshape(height, -1)
    combined: Rows = flat.reshape(-1, num_bands, width).transpose(1, 0, 2)
    return combined


def _resized(plane: Rows, width: int, interpolation: int) -> Rows:
    """Resize [h, w] to another width."""
    if plane.shape[1] == width:
        return plane
    resized: Rows = cv2.resize(np.ascontiguousarray(plane), (width, plane.shape[0]), interpolation=interpolation)
    return resized

"""Large images measured block by block, so that memory stays bounded whatever their size."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple


class Block(NamedTuple):
    """A part of an image.

    Attributes:
        rows: Of the HR image, overlap included.
        columns: Likewise.
        num_pixels: That it counts for, overlap left out.
    """

    rows: slice
    columns: slice
    num_pixels: int


@dataclass(frozen=True)
class BlockPlan:
    """How an image is cut.

    Attributes:
        side: Largest side of a block without its overlap, pixels.
        overlap: Pixels that a block has beyond its end, so that windows of one pixel more begin in one block each.
    """

    side: int
    overlap: int = 0

    def blocks(self, size: tuple[int, int]) -> Iterator[Block]:
        """Blocks of about equal size, row by row; one alone where the image is no larger.

        Args:
            size: (H, W), pixels.
        """
        rows, columns = (list(self._spans(length)) for length in size)
        for row, num_rows in rows:
            for column, num_columns in columns:
                yield Block(row, column, num_rows * num_columns)

    def _spans(self, length: int) -> Iterator[tuple[slice, int]]:
        starts = length - self.overlap  # where windows may begin
        count = max(1, math.ceil(starts / self.side))
        ends = [starts * number // count for number in range(count + 1)]
        for first, stop in pairwise(ends):
            yield slice(first, stop + self.overlap), stop - first


def mean_of_blocks(values: Sequence[float], weights: Sequence[int]) -> float:
    """The mean, each block by its pixels."""
    return math.fsum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def psnr_of_blocks(values: Sequence[float], weights: Sequence[int]) -> float:
    """PSNR of the whole image, dB: its error is the mean of the blocks' errors."""
    error = mean_of_blocks([0.0 if value == math.inf else 10 ** (-value / 10) for value in values], weights)
    return math.inf if error == 0 else -10 * math.log10(error)

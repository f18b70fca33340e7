"""A scene in pieces of work: rectangles of tiles that any process computes, and their sums put together.

A window's result is one strip for each of its rows of tiles: the weighted sum over its tiles of that row, from left to
right, not yet added up from top to bottom. No more than two tiles count at one SR pixel of a row, and the sum of two
numbers does not ask which came first: so windows of any size, made in any order by any process, come to the same pixels
to the bit, those of `rssr.tiling.blend`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rssr.errors import ConfigError
from rssr.tiling import Span, Tile, TilePlan, blend_rows

FloatArray = NDArray[np.float32]

TILES_A_SIDE = 8
"""Tiles along each side of a window where nobody asks for another number."""

_MOST_AT_A_PIXEL = 2  # tiles of a row that may count at one pixel where the row is cut


@dataclass(frozen=True)
class TileWindow:
    """A rectangle of tiles.

    Attributes:
        row: Number of the window from the top, from 0.
        column: Number of the window from the left.
        tile_rows: First and one-past-last row of tiles.
        tile_columns: First and one-past-last tile of each of these rows.
    """

    row: int
    column: int
    tile_rows: tuple[int, int]
    tile_columns: tuple[int, int]

    @property
    def key(self) -> str:
        """Its name among the windows of a scene, e.g. `r0003c0012`; sorts from top to bottom, then left to right."""
        return f"r{self.row:04d}c{self.column:04d}"

    @property
    def rows(self) -> range:
        """Numbers of its rows of tiles."""
        return range(*self.tile_rows)

    @property
    def columns(self) -> range:
        """Numbers of its tiles in each row."""
        return range(*self.tile_columns)

    def __len__(self) -> int:
        """Number of tiles."""
        return len(self.rows) * len(self.columns)

    def tiles(self, plan: TilePlan) -> Iterator[Tile]:
        """Its tiles, row by row."""
        return (Tile(plan.rows[row], plan.columns[column]) for row in self.rows for column in self.columns)

    def lr(self, plan: TilePlan) -> tuple[slice, slice]:
        """What its tiles read of the LR scene."""
        first, last = plan.rows[self.rows[0]], plan.rows[self.rows[-1]]
        left, right = plan.columns[self.columns[0]], plan.columns[self.columns[-1]]
        return slice(first.lr[0], last.lr[1]), slice(left.lr[0], right.lr[1])

    def sr(self, plan: TilePlan) -> tuple[slice, slice]:
        """What its tiles contribute to of the SR scene: all of this is masked in a product where the window failed."""
        return slice(plan.rows[self.rows[0]].sr[0], plan.rows[self.rows[-1]].sr[1]), self.sr_columns(plan)

    def sr_columns(self, plan: TilePlan) -> slice:
        """SR columns of its strips."""
        return slice(plan.columns[self.columns[0]].sr[0], plan.columns[self.columns[-1]].sr[1])


Fetch = Callable[[TileWindow, int], FloatArray]
"""A window and the number of one of its rows of tiles to that strip, float32 [C, h, width], which is taken over."""


def plan_windows(plan: TilePlan, tiles_a_side: int = TILES_A_SIDE) -> tuple[TileWindow, ...]:
    """Cut a scene's tiles into windows, from top to bottom, then from left to right.

    Where halos are so wide (a third of the tile or more) that three tiles count at one pixel, windows take the whole
    width: the sum of three numbers does depend on their order.

    Args:
        plan: How the scene is cut.
        tiles_a_side: Rows and columns of tiles of a window; those at the right and lower edge may have fewer.

    Raises:
        ConfigError: Less than one.
    """
    if tiles_a_side < 1:
        raise ConfigError(f"Windows of {tiles_a_side} tiles a side hold nothing.", "Give 1 or more.")
    across = tiles_a_side if _most_at_a_pixel(plan.columns) <= _MOST_AT_A_PIXEL else len(plan.columns)
    return tuple(
        TileWindow(row, column, tile_rows, tile_columns)
        for row, tile_rows in enumerate(_parts(len(plan.rows), tiles_a_side))
        for column, tile_columns in enumerate(_parts(len(plan.columns), across))
    )


def assemble(plan: TilePlan, windows: Sequence[TileWindow], fetch: Fetch) -> Iterator[tuple[int, FloatArray]]:
    """Put windows together, handing out rows as soon as no later tile touches them; see `rssr.tiling.blend`.

    Strips are asked for one row of tiles after the other, each from left to right, and each once. Memory is one row of
    tiles over the scene's width, and the strip that is being added to it.

    Args:
        plan: How the scene is cut.
        windows: All of its windows, in any order.
        fetch: Computes or reads a strip.

    Yields:
        First row and float32 [C, rows, W]; together they cover the scene once, from top to bottom.

    Raises:
        ValueError: Windows are missing or overlap, or a strip has another size than its window.
    """
    return blend_rows(plan, (_side_by_side(plan, windows, fetch, row) for row in range(len(plan.rows))))


def _side_by_side(plan: TilePlan, windows: Sequence[TileWindow], fetch: Fetch, row: int) -> FloatArray:
    wanted = sorted((window for window in windows if row in window.rows), key=lambda window: window.tile_columns)
    _check_complete(wanted, len(plan.columns), row)
    joined: FloatArray | None = None
    for window in wanted:
        strip, place = fetch(window, row), window.sr_columns(plan)
        height = plan.rows[row].sr[1] - plan.rows[row].sr[0]
        if strip.shape[1:] != (height, place.stop - place.start):
            raise ValueError(f"Row {row} of window {window.key} came back as {strip.shape[1:]}.")
        if joined is None and len(wanted) == 1:
            return strip if strip.flags.writeable else strip.copy()
        if joined is None:
            joined = np.zeros((strip.shape[0], height, plan.sr_size[1]), np.float32)
        joined[:, :, place] += strip
        del strip  # before the next one is there
    assert joined is not None, "checked to be complete"
    return joined


def _check_complete(windows: Sequence[TileWindow], num_columns: int, row: int) -> None:
    ends = [0, *(window.tile_columns[1] for window in windows)]
    starts = [*(window.tile_columns[0] for window in windows), num_columns]
    if starts != ends:
        raise ValueError(f"The windows do not cover row {row} of the tiles once: they take {windows}.")


def _parts(length: int, longest: int) -> list[tuple[int, int]]:
    return [(start, min(start + longest, length)) for start in range(0, length, longest)]


def _most_at_a_pixel(spans: Sequence[Span]) -> int:
    """How many tiles have a weight above zero at one pixel, at most."""
    count = np.zeros(max(span.sr[1] for span in spans), np.int32)
    for span in spans:
        count[slice(*span.sr)] += span.weight > 0
    return int(count.max())

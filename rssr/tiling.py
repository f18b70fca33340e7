"""Scenes cut into overlapping tiles and blended back without seams.

Tiles lie on a grid fixed to the scene's first pixel, never to a request or a worker, so any part of a scene comes
out the same whoever asks for it. Neighbours share `2 * halo` LR pixels; over the middle half of that they fade into
each other, so every pixel that counts has at least `halo / 2` pixels of context (away from the scene's own edge).
The weights of all tiles add to one at every SR pixel.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from rssr.errors import ConfigError

FloatArray = NDArray[np.float32]

_SLAB_VALUES = 1 << 16  # that are weighted at a time: they stay in the processor's cache
_STRIDE_SEARCH = 48  # LR pixels by which a stride may shrink so that tiles begin on whole SR pixels


@dataclass(frozen=True, eq=False)
class Span:
    """One tile along one axis.

    Attributes:
        lr: First and one-past-last LR pixel.
        sr: The same in SR pixels.
        weight: Weight of each SR pixel, float32; over all spans they add to one.
    """

    lr: tuple[int, int]
    sr: tuple[int, int]
    weight: FloatArray = field(repr=False)


@dataclass(frozen=True, eq=False)
class Tile:
    """One tile: a span of rows and a span of columns."""

    rows: Span
    columns: Span

    @property
    def lr(self) -> tuple[slice, slice]:
        """Where to read in the LR scene."""
        return slice(*self.rows.lr), slice(*self.columns.lr)

    @property
    def sr(self) -> tuple[slice, slice]:
        """Where the result lies in the SR scene."""
        return slice(*self.rows.sr), slice(*self.columns.sr)

    @property
    def sr_size(self) -> tuple[int, int]:
        """Height and width of the result, SR pixels."""
        return self.rows.sr[1] - self.rows.sr[0], self.columns.sr[1] - self.columns.sr[0]

    @property
    def weight(self) -> FloatArray:
        """Weight of each pixel of the result, float32 [h, w]."""
        return np.outer(self.rows.weight, self.columns.weight)


@dataclass(frozen=True, eq=False)
class TilePlan:
    """How a scene is cut.

    Attributes:
        lr_size: (H, W) of the scene, LR pixels.
        sr_size: (H, W) of the result, SR pixels.
        rows: Spans from top to bottom.
        columns: Spans from left to right.
        grid: Where tiles may begin; None: anywhere.
    """

    lr_size: tuple[int, int]
    sr_size: tuple[int, int]
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    grid: "SrGrid | None" = None

    @property
    def tiles(self) -> Iterator[Tile]:
        """All tiles, row by row."""
        return (Tile(rows, columns) for rows in self.rows for columns in self.columns)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)


def output_size(lr_size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Size of the SR image: each side times scale, rounded half up, at least 1."""
    height, width = (max(1, math.floor(side * scale + 0.5)) for side in lr_size)
    return height, width


def nearest_lr(lr_length: int, sr_length: int) -> NDArray[np.intp]:
    """For each SR pixel along an axis, the LR pixel that its centre lies in."""
    return np.minimum(((np.arange(sr_length) + 0.5) * lr_length / sr_length).astype(np.intp), lr_length - 1)


@dataclass(frozen=True)
class SrGrid:
    """Where tiles may begin, for networks whose latents need it.

    Attributes:
        spacing: SR rows and columns at which tiles begin are multiples of this.
        scale: Exact scale; tiles begin where it brings whole LR pixels to whole SR pixels.
    """

    spacing: int
    scale: Fraction

    @property
    def lr_spacing(self) -> int:
        """LR pixels between places where a tile may begin."""
        return self.scale.denominator * self.spacing // math.gcd(self.scale.numerator, self.spacing)


def plan_tiles(
    lr_size: tuple[int, int], sr_size: tuple[int, int], tile_size: int, halo: int, grid: SrGrid | None = None
) -> TilePlan:
    """Cut a scene into tiles.

    Args:
        lr_size: (H, W), LR pixels.
        sr_size: (H, W), SR pixels.
        tile_size: Largest side of a tile, LR pixels, halos included. A shorter axis is not cut.
        halo: Context on each side, LR pixels.
        grid: Where tiles may begin; None: where it is nearest to whole SR pixels.

    Raises:
        ConfigError: The halos leave nothing of the tile, or too little for the grid.
    """
    if halo < 0 or tile_size <= 2 * halo:
        raise ConfigError(
            f"A tile of {tile_size} pixels cannot have a halo of {halo} on each side.",
            "Make tile_size larger than twice the halo.",
        )
    rows, columns = (_plan_axis(lr, sr, tile_size, halo, grid) for lr, sr in zip(lr_size, sr_size, strict=True))
    return TilePlan(lr_size, sr_size, rows, columns, grid)


def blend(plan: TilePlan, pieces: Iterable[FloatArray]) -> Iterator[tuple[int, FloatArray]]:
    """Add weighted tiles up, handing out rows as soon as no later tile touches them.

    Memory is one row of tiles, whatever the height of the scene.

    Args:
        plan: How the scene was cut.
        pieces: One result a tile, float32 [C, h, w], in the order of `plan.tiles`.

    Yields:
        First row and float32 [C, rows, W]; together they cover the scene once, from top to bottom.
    """
    queue = iter(pieces)
    return blend_rows(plan, (sum_of_row(plan, row, range(len(plan.columns)), queue) for row in range(len(plan.rows))))


def blend_rows(plan: TilePlan, strips: Iterable[FloatArray]) -> Iterator[tuple[int, FloatArray]]:
    """Add up strips that are complete from left to right; see `blend`.

    Args:
        plan: How the scene was cut.
        strips: One a row of tiles, float32 [C, h, W], from top to bottom. They are taken over: what is added to
            them is added in place.

    Yields:
        As `blend`. At most one strip, and what of the one before it overlaps, is in memory.
    """
    carried: FloatArray | None = None
    queue = iter(strips)
    for index, rows in enumerate(plan.rows):
        strip = next(queue)
        if carried is not None:
            strip[:, : carried.shape[1]] += carried
        last = index + 1 == len(plan.rows)
        finished = rows.sr[1] - rows.sr[0] if last else plan.rows[index + 1].sr[0] - rows.sr[0]
        carried = strip[:, finished:].copy()  # a view would keep the whole strip in memory
        yield rows.sr[0], strip[:, :finished]
        del strip  # before the next one is made


def sum_of_row(plan: TilePlan, row: int, columns: range, pieces: Iterator[FloatArray]) -> FloatArray:
    """Add up the weighted tiles of one row, or of a part of it, from left to right.

    Args:
        plan: How the scene was cut.
        row: Number of the row of tiles.
        columns: Numbers of the tiles in it.
        pieces: Their results, float32 [C, h, w], in order; no more is taken than these.

    Returns:
        Float32 [C, h, width], from the first tile's first column to the last one's last.

    Raises:
        ValueError: A result of another size than its tile.
    """
    rows, first = plan.rows[row], plan.columns[columns[0]].sr[0]
    strip: FloatArray | None = None
    reached = first
    for column in columns:
        tile, piece = Tile(rows, plan.columns[column]), next(pieces)
        if piece.shape[1:] != tile.sr_size:
            raise ValueError(f"A tile of {tile.sr_size} SR pixels came back as {piece.shape[1:]}.")
        if strip is None:
            width = plan.columns[columns[-1]].sr[1] - first
            strip = np.empty((piece.shape[0], rows.sr[1] - rows.sr[0], width), np.float32)
        start, stop = tile.columns.sr
        _add_weighted(strip[:, :, start - first : stop - first], piece, tile, reached - start)
        reached = stop
    assert strip is not None, "a row has at least one tile"
    return strip


def _add_weighted(sums: FloatArray, piece: FloatArray, tile: Tile, num_begun: int) -> None:
    """Add a tile's weighted values to sums of which only so many columns at the left hold anything yet."""
    num_rows = max(1, _SLAB_VALUES // piece.shape[2])
    held = np.empty((num_rows, piece.shape[2]), np.float32)
    for top in range(0, piece.shape[1], num_rows):
        part = slice(top, top + num_rows)
        weight = np.outer(tile.rows.weight[part], tile.columns.weight)
        for values, target in zip(piece[:, part], sums[:, part], strict=True):
            weighted = np.multiply(values, weight, out=held[: len(weight)])
            target[:, :num_begun] += weighted[:, :num_begun]
            np.add(weighted[:, num_begun:], np.float32(0), out=target[:, num_begun:])  # as to a sum of nothing: no -0


def _plan_axis(lr_length: int, sr_length: int, tile_size: int, halo: int, grid: SrGrid | None) -> tuple[Span, ...]:
    if lr_length <= tile_size:
        return (Span((0, lr_length), (0, sr_length), np.ones(sr_length, np.float32)),)
    scale = sr_length / lr_length if grid is None else grid.scale
    stride = _whole_stride(tile_size - 2 * halo, sr_length / lr_length, lr_length)
    if grid is not None:
        stride = _grid_stride(tile_size, halo, grid)
    count = 1 + math.ceil((lr_length - tile_size) / stride)
    lr_ends = [(index * stride, min(index * stride + tile_size, lr_length)) for index in range(count)]
    sr_ends = [(_nearest(start * scale), _nearest(stop * scale)) for start, stop in lr_ends]
    sr_ends[-1] = sr_ends[-1][0], sr_length
    weights = _fading_weights(sr_ends, sr_length, halo)
    return tuple(Span(*parts) for parts in zip(lr_ends, sr_ends, weights, strict=True))


def _grid_stride(tile_size: int, halo: int, grid: SrGrid) -> int:
    """The longest stride that keeps to the grid.

    Raises:
        ConfigError: There is none.
    """
    stride = (tile_size - 2 * halo) // grid.lr_spacing * grid.lr_spacing
    if stride < 1:
        raise ConfigError(
            f"At a scale of {grid.scale}, tiles of this model begin at every {grid.lr_spacing}th pixel, but tiles of "
            f"{tile_size} pixels with halos of {halo} are only {tile_size - 2 * halo} apart.",
            f"Make tile_size at least {2 * halo + grid.lr_spacing}.",
        )
    return stride


def _whole_stride(longest: int, scale: float, lr_length: int) -> int:
    """The stride, not much below the longest, whose tiles begin nearest to whole SR pixels."""

    def misplacement(stride: int) -> float:
        starts = np.arange(0, lr_length, stride) * scale
        return round(float(np.abs(starts - np.round(starts)).max()), 9)

    candidates = range(longest, max(0, longest - min(_STRIDE_SEARCH, longest // 4 + 1)), -1)
    return min(candidates, key=misplacement)


def _fading_weights(ends: list[tuple[int, int]], length: int, halo: int) -> list[FloatArray]:
    weights = []
    for index, (start, stop) in enumerate(ends):
        weight = np.ones(stop - start)
        if index > 0 and halo > 0:
            shared = ends[index - 1][1] - start
            weight[:shared] *= _rise(shared)
        if index + 1 < len(ends) and halo > 0:
            shared = stop - ends[index + 1][0]
            weight[stop - start - shared :] *= _rise(shared)[::-1]
        weights.append(weight)
    total = np.zeros(length)
    for (start, stop), weight in zip(ends, weights, strict=True):
        total[start:stop] += weight
    return [
        (weight / total[start:stop]).astype(np.float32) for (start, stop), weight in zip(ends, weights, strict=True)
    ]


def _rise(length: int) -> NDArray[np.float64]:
    """From 0 to 1 over the middle half, as a squared sine: reversed, it adds to one."""
    place = (np.arange(length) + 0.5) / length
    rise: NDArray[np.float64] = np.sin(np.clip(2 * place - 0.5, 0, 1) * (np.pi / 2)) ** 2
    return rise


def _nearest(position: float | Fraction) -> int:
    half = Fraction(1, 2) if isinstance(position, Fraction) else 0.5
    return math.floor(position + half)

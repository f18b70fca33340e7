"""Do tiles show? Steps on the lines where tiles fade into each other, against those beside the lines.

From one pixel to the next, in the middle of the fading: the step of the means along a segment of 64 SR pixels, over the
mean of the same step there and a few places beside. These lie at whole LR pixels from the line, at 16 or a multiple
where there is room, as interpolation and networks repeat their pattern with them, and compressed pictures theirs. Where
tiles do not show, the line is a place like any other, and that is 1 on average whatever the texture; no segment counts
for more than another.

Over the whole width of the fading: tiles of another brightness, although the fading hides them. What SR adds to LR
tells them apart from the scene: its mean along a tile's edge steps no more on the line than beside it. By how much its
squared step is larger there is told against the image's own squared steps over that width, as a seam of three grey
levels shows on water and not in a town: sqrt(1 + (line^2 - beside^2) / image^2).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rssr.metrics.seam_lines import SEGMENT, SeamLine, lines_of, middles_of
from rssr.tiling import TilePlan, nearest_lr

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]
Counts = NDArray[np.int64]
Places = NDArray[np.intp]

SEAM_LIMIT = 1.05
"""A product with a higher score shows its tiles, and does not count as good."""

_MOST_MISSING = 0.25  # of a segment's pixels, at any of the places that are compared
_SMALLEST_STEP = 0.1  # of a stored whole number: what is less than that nobody sees
_FLAT = 0.02  # of the mean step: segments below count as little as they show
_GROUPS = 16  # of segments, from which the error of the score is told, at least if there are as many
_LONGEST_GROUP = 8  # segments; neighbours are alike
_CERTAINTY = 0.9987  # one-sided: three standard errors


@dataclass(frozen=True)
class SeamScore:
    """How much tiles show.

    Attributes:
        score: How many times larger steps are on the lines between tiles than elsewhere, as far as that is beyond
            chance (three standard errors); 1 where tiles do not show, or nothing can be told.
        ratio: The same without regard to chance: about 1 where tiles do not show.
        num_segments: Pieces of 64 SR pixels of line that could be looked at; 0 where tiles are too few, too small or
            without data.
    """

    score: float
    ratio: float
    num_segments: int


class SeamMeter:
    """Gathers what a `SeamScore` is told from, as rows of a product get finished; memory is a few rows.

    Args:
        plan: How the scene was cut.
        num_bands: Of the product.
        whole_numbers: Whether it is stored in whole numbers, of which small parts do not show.
    """

    def __init__(self, plan: TilePlan, num_bands: int, *, whole_numbers: bool) -> None:
        across = lines_of(plan.columns, plan.sr_size[1] / plan.lr_size[1])
        down = lines_of(plan.rows, plan.sr_size[0] / plan.lr_size[0])
        self._unit = 1.0 if whole_numbers else 0.0
        self._middles = middles_of(plan.rows), middles_of(plan.columns)
        rows, columns = (nearest_lr(lr, sr) for lr, sr in zip(plan.lr_size, plan.sr_size, strict=True))
        self._nearest = rows, columns
        self._segments, self._edges = _Segments(), _Edges()
        self._between_columns = [_ColumnSums(line, num_bands) for line in across]
        self._between_rows = [_RowSums(line, num_bands, plan.sr_size[1] // SEGMENT) for line in down]
        self._next_row = 0

    def add(
        self, pixels: NDArray[np.number], valid_mask: Mask, lr: tuple[int, NDArray[np.number]] | None = None
    ) -> None:
        """Take in the next rows, from top to bottom.

        Args:
            pixels: [C, rows, W], as stored.
            valid_mask: Bool [rows, W], that of the LR scene; other pixels do not count.
            lr: First row and LR pixels [C, rows, w] in the same unit, 0 where there is no data, of all rows that these
                SR rows lie in. None looks for tiles of another brightness in the image itself, which tells less.
        """
        mask = None if valid_mask.all() else valid_mask
        block = _Block(self._next_row, pixels, mask, None if lr is None else _Reference(self._nearest, *lr))
        for number, columns in enumerate(self._between_columns):
            finished = columns.add(block)
            if finished is not None:
                self._look(columns.line, finished[1], (2 * number, finished[0]))
        for number, rows in enumerate(self._between_rows):
            complete = rows.add(block)
            if complete is not None:
                self._look(rows.line, complete, (2 * number + 1, np.arange(complete.counts.shape[0])))
        self._next_row += pixels.shape[1]

    def result(self) -> SeamScore:
        """The score of all rows so far."""
        if not self._segments.count:
            return SeamScore(1.0, 1.0, 0)
        mean_step = self._segments.mean_step()
        found = [self._segments.ratio(np.maximum(_FLAT * mean_step, _SMALLEST_STEP * self._unit))]
        if self._edges.count:
            found.append(self._edges.ratio(np.maximum(mean_step, _SMALLEST_STEP * self._unit)))
        ratios, bounds = zip(*found, strict=True)
        return SeamScore(max(1.0, *bounds), max(ratios), self._segments.count)

    def _look(self, line: SeamLine, sums: "_Sums", place: tuple[int, Counts]) -> None:
        """Take the steps across a line, given its number and segments."""
        number, segments = place
        for probe in line.probes:
            first, stop = probe.extent(line.reach)
            usable = (sums.counts[:, first:stop] >= (1 - _MOST_MISSING) * SEGMENT).all(axis=1)
            if not usable.any():
                continue
            image, added = (probe.steps(means[:, usable], line.reach) for means in sums.means())
            if probe.is_wide:
                tiles = np.searchsorted(self._middles[number % 2], (segments[usable] + 0.5) * SEGMENT)
                self._edges.append(image, added, number, tiles)
            else:
                self._segments.append(image, number, segments[usable])


class _Segments:
    """Steps on the lines, mean steps of the neighbourhood, and where they are, of all segments so far."""

    def __init__(self) -> None:
        self._on_line: list[NDArray[np.float32]] = []
        self._around: list[NDArray[np.float32]] = []
        self._places: list[Counts] = []

    @property
    def count(self) -> int:
        """Number of segments."""
        return sum(map(len, self._places))

    def append(self, steps: Values, line: int, segments: Counts) -> None:
        """Add steps [C, S, 1 + n] across a line."""
        magnitudes = np.abs(steps).astype(np.float32)
        self._on_line.append(magnitudes[..., 0])
        self._around.append(magnitudes.mean(axis=-1))
        self._places.append(np.stack([np.full_like(segments, line), segments], axis=1))

    def mean_step(self) -> Values:
        """Mean step of each band, [C, 1]."""
        return np.asarray(np.concatenate(self._around, axis=1).mean(axis=1, keepdims=True, dtype=np.float64))

    def ratio(self, smallest: Values) -> tuple[float, float]:
        """Mean relative step on the lines, and the bound that it exceeds but for chance.

        Args:
            smallest: Step of each band, [C, 1]; where all are smaller, they count as little as they show.
        """
        on_line, around = (np.concatenate(parts, axis=1).astype(np.float64) for parts in (self._on_line, self._around))
        scale = np.maximum(around, smallest)
        shares = (np.divide(part, scale, out=np.zeros_like(part), where=scale > 0) for part in (on_line, around))
        return _ratio_and_bound(*self._grouped([np.asarray(share.mean(axis=0)) for share in shares]))

    def _grouped(self, shares: list[Values]) -> list[Values]:
        """Sums over neighbouring segments, in groups as long as leaves enough of them."""
        places, length = np.concatenate(self._places), _LONGEST_GROUP
        while True:
            keys = np.stack([places[:, 0], places[:, 1] // length], axis=1)
            _, groups = np.unique(keys, axis=0, return_inverse=True)
            if groups.max() + 1 >= _GROUPS or length == 1:
                return [np.bincount(groups.ravel(), weights=share).astype(np.float64) for share in shares]
            length //= 2


class _Edges:
    """Steps over the fading, along each tile's edge."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, int], tuple[Values, Values, int]] = {}

    @property
    def count(self) -> int:
        """Number of edges."""
        return len(self._held)

    def append(self, image: Values, added: Values, line: int, tiles: Counts) -> None:
        """Add steps [C, S, 1 + n] of the image and of what it adds to LR, across a line, along these tiles [S]."""
        squares = np.square(image).mean(axis=-1)
        for tile in np.unique(tiles):
            own = tiles == tile
            parts = added[:, own].sum(axis=1), squares[:, own].sum(axis=1), int(own.sum())
            held = self._held.get((line, int(tile)))
            if held is not None:
                parts = parts[0] + held[0], parts[1] + held[1], parts[2] + held[2]
            self._held[line, int(tile)] = parts

    def ratio(self, smallest: Values) -> tuple[float, float]:
        """How many times larger the image's steps are on the lines; see `_Segments.ratio`."""
        excesses = []
        for added, squares, count in self._held.values():
            steps = np.square(added / count)
            scale = np.maximum(squares[:, None] / count, np.square(smallest))
            excess = steps[:, :1] - steps[:, 1:].mean(axis=1, keepdims=True)
            excesses.append(np.divide(excess, scale, out=np.zeros_like(excess), where=scale > 0).mean())
        mean, bound = _ratio_and_bound(1 + np.array(excesses), np.ones(len(excesses)))
        return float(np.sqrt(max(mean, 0.0))), float(np.sqrt(max(bound, 0.0)))


def _ratio_and_bound(on_line: Values, around: Values) -> tuple[float, float]:
    """Ratio of sums, and its lower bound by the spread of groups (Cochran 1977, ratio estimates)."""
    total, count = float(around.sum()), len(around)
    if total == 0:
        return 1.0, 1.0
    ratio = float(on_line.sum()) / total
    if count < 2:
        return ratio, 1.0
    from scipy.special import stdtrit  # here, because a scene of one tile does without

    spread = float(np.sqrt(count / (count - 1) * np.square(on_line - ratio * around).sum())) / total
    return ratio, ratio - float(stdtrit(count - 1, _CERTAINTY)) * spread


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums along segments, at K places across a line.

    Attributes:
        image: Of stored values, [C, S, K].
        lr: Of the LR pixels that they lie in, likewise; None where these are not known.
        counts: Number of pixels that were added up, [S, K].
    """

    image: Values
    lr: Values | None
    counts: Counts

    def means(self) -> tuple[Values, Values]:
        """Means of the image, and of what it adds to LR."""
        counts = np.maximum(self.counts, 1)
        image: Values = self.image / counts
        return image, image if self.lr is None else image - self.lr / counts


class _Reference:
    """LR pixels behind SR rows."""

    def __init__(self, nearest: tuple[Places, Places], first: int, pixels: NDArray[np.number]) -> None:
        self._rows, self._columns = nearest
        self._first = first
        self._pixels = pixels

    def along_columns(self, rows: slice, columns: slice) -> Values:
        """Sums over SR rows, [C, columns]."""
        share = np.bincount(self._rows[rows] - self._first, minlength=self._pixels.shape[1]).astype(np.float64)
        places = self._columns[columns]
        part = self._pixels[:, :, places[0] : places[-1] + 1]
        return np.asarray(np.einsum("r,crk->ck", share, part)[:, places - places[0]])

    def by_segments(self, rows: slice, num_segments: int) -> Values:
        """Sums over segments of columns, [C, S, rows]."""
        places = self._rows[rows] - self._first
        part = self._pixels[:, places[0] : places[-1] + 1][:, :, self._columns[: num_segments * SEGMENT]]
        sums: Values = _by_segments(part, num_segments).sum(axis=-1, dtype=np.float64)
        return sums[:, :, places - places[0]]


@dataclass(frozen=True, eq=False)
class _Block:
    """Rows of a product: their first one, pixels, mask (None where all is valid) and LR pixels."""

    first: int
    pixels: NDArray[np.number]
    mask: Mask | None
    reference: _Reference | None

    @property
    def stop(self) -> int:
        """One past the last row."""
        return self.first + int(self.pixels.shape[1])


class _ColumnSums:
    """Sums along a line between columns of tiles, a segment of rows at a time."""

    def __init__(self, line: SeamLine, num_bands: int) -> None:
        self.line = line
        self._columns = slice(line.place - line.reach, line.place + line.reach)
        self._shape = num_bands, 1, 2 * line.reach
        self._sums = self._nothing()

    def add(self, block: _Block) -> tuple[Counts, _Sums] | None:
        """Take in rows; hands out numbers and sums of segments that are complete, if there are any."""
        finished: list[tuple[int, _Sums]] = []
        start = block.first
        while start < block.stop:
            segment = start // SEGMENT
            stop = min(block.stop, (segment + 1) * SEGMENT)
            self._sums = self._with(block, slice(start, stop))
            if stop == (segment + 1) * SEGMENT:
                finished.append((segment, self._sums))
                self._sums = self._nothing()
            start = stop
        return _together(finished) if finished else None

    def _nothing(self) -> _Sums:
        return _Sums(np.zeros(self._shape), np.zeros(self._shape), np.zeros(self._shape[1:], np.int64))

    def _with(self, block: _Block, rows: slice) -> _Sums:
        held, place = self._sums, (slice(rows.start - block.first, rows.stop - block.first), self._columns)
        part, counts = block.pixels[:, *place], rows.stop - rows.start
        if block.mask is not None:
            valid = block.mask[place]
            part, counts = np.where(valid, part, 0), valid.sum(axis=0)
        lr = held.lr
        if lr is not None:
            lr = None if block.reference is None else lr + block.reference.along_columns(rows, self._columns)[:, None]
        return _Sums(held.image + part.sum(axis=1, dtype=np.float64)[:, None], lr, held.counts + counts)


def _together(segments: list[tuple[int, _Sums]]) -> tuple[Counts, _Sums]:
    """Numbers and sums of segments, as one."""
    numbers, sums = zip(*segments, strict=True)
    known = [part.lr for part in sums if part.lr is not None]
    lr = np.concatenate(known, axis=1) if len(known) == len(sums) else None
    image = np.concatenate([part.image for part in sums], axis=1)
    return np.array(numbers), _Sums(image, lr, np.concatenate([part.counts for part in sums]))


class _RowSums:
    """Sums along a line between rows of tiles: of each row near it, by segments of columns."""

    def __init__(self, line: SeamLine, num_bands: int, num_segments: int) -> None:
        self.line = line
        self._num_segments = num_segments
        self._shape = num_bands, num_segments, 2 * line.reach
        self._sums: _Sums | None = None

    def add(self, block: _Block) -> _Sums | None:
        """Take in those of the rows that lie near the line; hands out the sums when all of them are there."""
        top, bottom = self.line.place - self.line.reach, self.line.place + self.line.reach
        rows = slice(max(block.first, top), min(block.stop, bottom))
        if rows.start >= rows.stop or self._num_segments == 0:
            return None
        held = self._sums or self._nothing(block.reference is not None)
        own, places = slice(rows.start - block.first, rows.stop - block.first), slice(rows.start - top, rows.stop - top)
        part = _by_segments(block.pixels[:, own], self._num_segments)
        held.counts[:, places] = SEGMENT
        if block.mask is not None:
            valid = _by_segments(block.mask[None, own], self._num_segments)
            part = np.where(valid, part, 0)
            held.counts[:, places] = valid[0].sum(axis=-1)
        held.image[:, :, places] = part.sum(axis=-1, dtype=np.float64)
        if held.lr is not None and block.reference is not None:
            held.lr[:, :, places] = block.reference.by_segments(rows, self._num_segments)
        self._sums = None if rows.stop == bottom else held
        return held if rows.stop == bottom else None

    def _nothing(self, with_lr: bool) -> _Sums:
        lr = np.zeros(self._shape) if with_lr else None
        return _Sums(np.zeros(self._shape), lr, np.zeros(self._shape[1:], np.int64))


def _by_segments(values: NDArray[Any], num_segments: int) -> NDArray[Any]:
    """[C, rows, W] as [C, S, rows, 64]; what is left over at the right is left out."""
    whole = values[:, :, : num_segments * SEGMENT]
    return whole.reshape(*whole.shape[:2], num_segments, SEGMENT).swapaxes(1, 2)

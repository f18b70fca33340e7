"""From LR values, tile by tile through a model, to SR rows."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rssr.color import BandStatistics, ColorMatch, match_colors
from rssr.errors import RssrError, TileError
from rssr.inference.chosen_model import kind_of_device
from rssr.inference.missing import MissingPixels, zeros_for
from rssr.inference.options import CompleteOptions
from rssr.inference.prologue import ScenePrologue, match_whole
from rssr.inference.tile_batch import TileBatch
from rssr.inference.tile_runner import MakeRunner, TileCounts, TileRunner
from rssr.masks import enlarge_mask, filled
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import Draws, TilePlace
from rssr.tiling import Span, Tile, TilePlan, sum_of_row
from rssr.windows import Fetch, TileWindow, assemble, plan_windows

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SAMPLED_TILES = 64  # for the colour statistics of scenes that have more
_KEPT_BYTES = 1 << 30  # SR values up to this size are held in memory while statistics are taken, not made twice


class LrScene(Protocol):
    """A scene that can be read a part at a time."""

    def read(self, part: tuple[slice, slice]) -> tuple[FloatArray, Mask]:
        """Values as networks see them, float32 [C, h, w], and which are real, bool [h, w]."""
        ...


class SrRows(NamedTuple):
    """Finished rows of a scene, over its full width.

    Attributes:
        first: Number of the first row.
        values: float32 [C, rows, W], about [-1, 1].
        deviation: How far the values may be off (half-width that holds 68 % of errors), float32 [C, rows, W] in network
            units; None where it was not asked for.
    """

    first: int
    values: FloatArray
    deviation: FloatArray | None

    def matched(self, match: ColorMatch) -> "SrRows":
        """With other colours. The deviation stays: what matching adds to or takes from an error is not known."""
        return SrRows(self.first, match.apply(self.values), self.deviation)


@dataclass
class Engine:
    """Runs one model over scenes, a window of tiles at a time.

    A tile's pixels depend on the scene, the model and the options alone. The CPU takes tiles one by one; an accelerator
    takes `batch_size` of them, and always as many, so that its libraries choose the same way to add up.

    Attributes:
        model: The model.
        options: How to cut and match.
        with_deviation: Whether the model, a `DeviationResolver`, also says how far it may be off.
        draws: Seed and number of samples, for a model that draws noise.
        make_runner: Makes what runs tiles; where many scenes share a model, one that gathers their tiles.
        counts: What became of the tiles of all windows so far.
    """

    model: LoadedModel
    options: CompleteOptions
    with_deviation: bool = False
    draws: Draws = field(default_factory=Draws)
    make_runner: MakeRunner = TileRunner
    counts: TileCounts = field(default_factory=TileCounts, init=False)

    def __post_init__(self) -> None:
        self._runner = self.make_runner(self.model, self.options, self.with_deviation, self.draws)

    @property
    def batch_size(self) -> int:
        """Tiles at a time on an accelerator, by now."""
        return self._runner.batch_size

    def take_counts(self) -> TileCounts:
        """What became of tiles since this was last asked."""
        taken, self.counts = self.counts, TileCounts()
        return taken

    def run(self, scene: LrScene, plan: TilePlan) -> Iterator[SrRows]:
        """Super-resolve a scene in this process.

        Args:
            scene: Where LR values come from.
            plan: How it is cut.

        Yields:
            Rows from top to bottom, their colours matched.
        """
        prologue, assembled = self.begin(scene, plan)
        match = prologue.match
        for first, both in assembled:
            rows = self.parted(first, both)
            yield rows if match is None else rows.matched(match)

    def begin(self, scene: LrScene, plan: TilePlan) -> tuple[ScenePrologue, Iterator[tuple[int, FloatArray]]]:
        """The prologue, and assembled rows, which are made when they are asked for unless the prologue needed them."""
        if not self.needs_all_rows(plan):
            return self.prologue(scene, plan), self._assembled(scene, plan, self.counts)
        if 4 * self._num_results(scene) * plan.sr_size[0] * plan.sr_size[1] > _KEPT_BYTES:
            return self.prologue(scene, plan), self._assembled(scene, plan, self.counts)
        kept = list(self._assembled(scene, plan, self.counts))
        return self.prologue(scene, plan, kept), iter(kept)

    def needs_all_rows(self, plan: TilePlan) -> bool:
        """Whether the prologue comes from all of the scene's rows, rather than from a few of its tiles."""
        return self.options.color_match == "scene" and len(plan) <= _SAMPLED_TILES

    def prologue(
        self,
        scene: LrScene,
        plan: TilePlan,
        assembled: Iterable[tuple[int, FloatArray]] | None = None,
        failed: Sequence[TileWindow] = (),
    ) -> ScenePrologue:
        """What finishing needs to know of the whole scene.

        Args:
            scene: Where LR values come from.
            plan: How it is cut.
            assembled: Rows as `rssr.windows.assemble` hands them out, where they exist already and the prologue needs
                them; None computes what is needed, without counting it.
            failed: Windows that could not be computed: nothing is taken from there.
        """
        if self.options.color_match != "scene":
            return ScenePrologue()
        if not self.needs_all_rows(plan):
            return ScenePrologue.of(self._match_sample(scene, plan, failed))
        if assembled is None:
            assembled = self._assembled(scene, plan, TileCounts(), failed)
        rows = ((first, self.parted(first, both).values) for first, both in assembled)
        return ScenePrologue.of(match_whole(scene, plan, rows, MissingPixels.of(plan, failed)))

    def run_window(self, scene: LrScene, plan: TilePlan, window: TileWindow) -> list[FloatArray]:
        """Compute a window: a strip for each of its rows of tiles; see `rssr.windows`.

        Returns:
            Float32 [C, h, width] in network values, not matched; deviations, if asked for, are C more bands.

        Raises:
            RssrError: A tile failed; `where` names it and its window. A `TileError` where the reason is unforeseen.
        """
        pieces = self._results(scene, plan, window.tiles(plan), self.counts, window)
        return [sum_of_row(plan, row, window.columns, pieces) for row in window.rows]

    def run_strip(self, scene: LrScene, plan: TilePlan, window: TileWindow, tile_row: int) -> FloatArray:
        """One of the strips of `run_window`, with no more work than it needs."""
        return self._strip(scene, plan, self.counts, window, tile_row)

    def parted(self, first: int, both: FloatArray) -> SrRows:
        """Values and deviations, which go through windows and assembly as one."""
        num_bands = both.shape[0] // 2 if self.with_deviation else both.shape[0]
        return SrRows(first, both[:num_bands], both[num_bands:] if self.with_deviation else None)

    def _assembled(
        self, scene: LrScene, plan: TilePlan, counts: TileCounts, failed: Sequence[TileWindow] = ()
    ) -> Iterator[tuple[int, FloatArray]]:
        compute: Fetch = partial(self._strip, scene, plan, counts)
        if not failed:
            return assemble(plan, plan_windows(plan, max(len(plan.rows), len(plan.columns))), compute)
        single, lost = plan_windows(plan, 1), _tiles_of(failed)
        missing = [window for window in single if (window.tile_rows[0], window.tile_columns[0]) in lost]
        return assemble(plan, single, zeros_for(missing, plan, self._num_results(scene), compute))

    def _strip(self, scene: LrScene, plan: TilePlan, counts: TileCounts, window: TileWindow, row: int) -> FloatArray:
        tiles = (Tile(plan.rows[row], plan.columns[column]) for column in window.columns)
        return sum_of_row(plan, row, window.columns, self._results(scene, plan, tiles, counts, window))

    def _num_results(self, scene: LrScene) -> int:
        """Bands of a strip: values and, where asked for, deviations."""
        return int(scene.read((slice(0, 1), slice(0, 1)))[0].shape[0]) * (1 + self.with_deviation)

    def _match_sample(self, scene: LrScene, plan: TilePlan, failed: Sequence[TileWindow]) -> ColorMatch:
        lost, places = _tiles_of(failed), np.ndindex(len(plan.rows), len(plan.columns))
        picked = [
            tile
            for index, (place, tile) in enumerate(zip(places, plan.tiles, strict=True))
            if index % -(-len(plan) // _SAMPLED_TILES) == 0 and place not in lost
        ]
        num_bands = scene.read((slice(0, 1), slice(0, 1)))[0].shape[0]
        lr_statistics, sr_statistics = BandStatistics(num_bands), BandStatistics(num_bands)
        results = self._results(scene, plan, iter(picked), TileCounts())
        for tile, sr in zip(picked, results, strict=True):
            lr, mask = scene.read(tile.lr)
            lr_statistics.add(lr, mask)
            sr_statistics.add(self.parted(0, sr).values, enlarge_mask(mask, tile.sr_size))
        return match_colors(sr_statistics, lr_statistics)

    def _results(
        self,
        scene: LrScene,
        plan: TilePlan,
        tiles: Iterator[Tile],
        counts: TileCounts,
        window: TileWindow | None = None,
    ) -> Iterator[FloatArray]:
        """SR values of each tile in order, then their deviations if asked for; tiles of one shape share a batch."""
        waiting: list[tuple[Tile, FloatArray | None]] = []
        for tile in tiles:
            with _telling(tile, window):
                values, mask = scene.read(tile.lr)
                lr = filled(values, mask) if mask.any() else None
            counts.num_tiles += 1
            counts.num_skipped += lr is None
            if waiting and (len(waiting) >= self._batch_size(plan, tile) or not _same_shape(waiting[0][0], tile)):
                with _telling(waiting[0][0], window):
                    results = self._run_batch(waiting, values.shape[0], plan, counts)
                yield from results
                waiting = []
            waiting.append((tile, lr))
        if waiting:
            with _telling(waiting[0][0], window):
                results = self._run_batch(waiting, values.shape[0], plan, counts)
            yield from results

    def _batch_size(self, plan: TilePlan, tile: Tile) -> int:
        """How many tiles like this run together: on an accelerator as many as a row of them has, at most."""
        if not runs_batches(kind_of_device(self.model)):
            return 1
        width = _lengths(tile.columns)
        return min(self._runner.batch_size, sum(_lengths(column) == width for column in plan.columns))

    def _run_batch(
        self, batch: list[tuple[Tile, FloatArray | None]], num_bands: int, plan: TilePlan, counts: TileCounts
    ) -> list[FloatArray]:
        size, count = batch[0][0].sr_size, self._batch_size(plan, batch[0][0])
        present = [lr for _, lr in batch if lr is not None]
        places = [_place(tile, plan) for tile, lr in batch if lr is not None]
        results = iter(
            self._runner.run(TileBatch(np.stack(present), size, places, count, plan.grid), counts) if present else []
        )
        nothing = ((1 + self.with_deviation) * num_bands, *size)
        return [np.zeros(nothing, np.float32) if lr is None else next(results) for _, lr in batch]


def runs_batches(device: str) -> bool:
    """Whether tiles run together on such a device: the CPU gains nothing, and one by one none depends on another."""
    return device != "cpu"


@contextmanager
def _telling(tile: Tile, window: TileWindow | None) -> Iterator[None]:
    """Errors say at which tile they happened."""
    of_window = f" of window {window.key}" if window is not None else ""
    where = f"tile at LR row {tile.rows.lr[0]}, column {tile.columns.lr[0]}{of_window}"
    try:
        yield
    except RssrError as error:
        error.where = error.where or where
        raise
    except Exception as error:
        failure = TileError(f"A tile cannot be computed: {type(error).__name__}: {error}".rstrip(".") + ".")
        failure.where = where
        raise failure from error


def _place(tile: Tile, plan: TilePlan) -> TilePlace:
    first = plan.rows[0].sr
    return TilePlace(
        (tile.rows.lr[0], tile.columns.lr[0]),
        (tile.rows.sr[0], tile.columns.sr[0]),
        plan.lr_size,
        plan.sr_size,
        first[1] - first[0],
    )


def _tiles_of(windows: Iterable[TileWindow]) -> set[tuple[int, int]]:
    """Numbers of rows and columns of their tiles."""
    return {(row, column) for window in windows for row in window.rows for column in window.columns}


def _same_shape(one: Tile, other: Tile) -> bool:
    return _lengths(one.rows) == _lengths(other.rows) and _lengths(one.columns) == _lengths(other.columns)


def _lengths(span: Span) -> tuple[int, int]:
    return span.lr[1] - span.lr[0], span.sr[1] - span.sr[0]

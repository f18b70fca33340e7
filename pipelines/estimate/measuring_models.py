"""How fast a model makes tiles and how fast products are written, on this machine, with the code that does it."""

import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.bulk.records import PlannedScene
from pipelines.estimate.stopwatch import Stopwatch
from pipelines.estimate.workload import Layers, raw_bytes
from rssr.inference.chosen_model import kind_of_device
from rssr.inference.engine import runs_batches
from rssr.inference.files import MemoryReader, SceneFiles, SceneReader
from rssr.inference.options import SceneOptions
from rssr.inference.products import SideProducts
from rssr.inference.scene import ComputedWindows, SceneRun
from rssr.models.loaded import LoadedModel
from rssr.raster import CogOptions, Raster, Window
from rssr.sentinel2 import Sentinel2Scene, StretchConfig
from rssr.windows import TileWindow, assemble

FloatArray = NDArray[np.float32]

_TILES_A_SIDE = 4  # of the piece of a scene that is written
_ENOUGH_DATA = 0.9
_PLACES = ((0.5, 0.5), (0.25, 0.25), (0.75, 0.75), (0.25, 0.75), (0.75, 0.25))  # of the piece in its scene


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        model: The model, where it shall run.
        scale: Enlargement.
        options: How scenes are run.
        layers: What is made of them.
        compression: Of products.
        num_threads: Of arithmetic on the CPU.
        patience_s: Seconds after which no more tiles of a scene are run.
    """

    model: LoadedModel
    scale: float
    options: SceneOptions
    layers: Layers
    compression: CogOptions
    num_threads: int
    patience_s: float

    @property
    def tiles_at_once(self) -> int:
        """How many run together."""
        return self.options.tiling.batch_size if runs_batches(kind_of_device(self.model)) else 1


@dataclass
class ModelSamples:
    """What was measured; see `ModelRates`."""

    tile_s: list[float] = field(default_factory=list)
    finish_values_per_s: list[float] = field(default_factory=list)
    compression_ratio: list[float] = field(default_factory=list)
    waited_share: list[float] = field(default_factory=list)
    """Share of the time in which others had the processor; it is not counted."""


@dataclass
class ReadSamples:
    """What was measured; see `StoreRates`."""

    open_s: list[float] = field(default_factory=list)
    input_bytes_per_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Piece:
    """A part of a scene, in memory.

    Attributes:
        scene: Of which.
        raster: The part.
        shows_reflectance: Whether a model of pictures sees it through the usual stretch.
    """

    scene: PlannedScene
    raster: Raster
    shows_reflectance: bool


class _Made(NamedTuple):
    """What was made of a part of a piece: the run, its strips, and of each the seconds for a whole tile.

    The last is the share of the time in which others had the processor.
    """

    run: SceneRun
    strips: Mapping[TileWindow, FloatArray]
    tile_s: list[float]
    waited_share: float


def read_piece(
    scene: PlannedScene, opened: AbstractContextManager[SceneReader], num_columns: int, samples: ReadSamples
) -> Piece:
    """Open a scene and read a part of some tiles a side, from where there is data.

    Args:
        scene: That can be run.
        opened: Opens it, as workers do.
        num_columns: Tiles beside one another, at least.
        samples: What is found is added to.

    Raises:
        RssrError: The scene cannot be read.
    """
    with ExitStack() as held:
        with Stopwatch() as opening:
            reader = held.enter_context(opened)
        samples.open_s.append(opening.seconds)
        best: Raster | None = None
        for window in _windows(scene, max(num_columns, _TILES_A_SIDE)):
            with Stopwatch() as reading:
                raster = reader.read(window)
            share = window.height * window.width / math.prod(scene.lr_size)
            samples.input_bytes_per_s.append(share * max(1, scene.scene.num_bytes) / reading.seconds)
            if best is None or raster.valid_mask.mean() > best.valid_mask.mean():
                best = raster
            if best.valid_mask.mean() >= _ENOUGH_DATA:
                break
        assert best is not None, "there is at least one window"
        return Piece(scene, best, isinstance(reader, Sentinel2Scene))


def time_model(piece: Piece, subject: Subject, samples: ModelSamples) -> None:
    """Run tiles of a piece, as many as time allows, and write its product.

    Args:
        piece: Of a scene.
        subject: With what.
        samples: What is found is added to.

    Raises:
        RssrError: The model fails, or there is no room for the product.
    """
    give_up_at = time.monotonic() + subject.patience_s
    with _threads(subject.num_threads):
        made = _run_part(piece, (1, subject.tiles_at_once), subject)
        side = _affordable_side(made.tile_s[0], give_up_at - time.monotonic())
        if side > 1:  # else the first, a warm-up, is all there is
            made = _run_part(piece, (side, max(side, subject.tiles_at_once)), subject)
        samples.tile_s += made.tile_s
        samples.waited_share.append(made.waited_share)
        _, num_bytes = _time_writing(made, subject)  # the first is a warm-up here, too
        large = made if side > 1 else _enlarged(made, piece, subject)
        seconds, _ = _time_writing(large, subject)
    samples.finish_values_per_s.append(math.prod(large.run.plan.sr_size) * len(piece.scene.band_names) / seconds)
    planned = replace(piece.scene, lr_size=made.run.plan.lr_size, sr_size=made.run.plan.sr_size)
    samples.compression_ratio.append(num_bytes / raw_bytes(planned, subject.layers))


def _windows(scene: PlannedScene, num_columns: int) -> Iterator[Window]:
    """The middle of a scene, then other parts of it."""
    height, width = scene.lr_size
    size = _size_of(scene, (_TILES_A_SIDE, num_columns))
    for down, right in _PLACES if size != scene.lr_size else _PLACES[:1]:
        yield Window(round(down * (height - size[0])), round(right * (width - size[1])), *size)


def _size_of(scene: PlannedScene, counts: tuple[int, int]) -> tuple[int, int]:
    """LR pixels of some rows and columns of tiles, as far as the scene has as many."""
    stride = max(1, scene.tile_size - 2 * scene.halo)
    height, width = (scene.tile_size + (count - 1) * stride for count in counts)
    return min(height, scene.lr_size[0]), min(width, scene.lr_size[1])


def _affordable_side(tile_s: float, left_s: float) -> int:
    """Of a square of tiles that can be run in the time that is left; 1 where none can."""
    return next((side for side in range(_TILES_A_SIDE, 1, -1) if side**2 * tile_s <= left_s), 1)


def _run_part(piece: Piece, counts: tuple[int, int], subject: Subject) -> _Made:
    """Run the middle of a piece, some rows and columns of tiles."""
    run = _prepared(piece, counts, subject)
    strips, times, shares = {}, [], []
    for window in _rows_of(run):
        with Stopwatch() as watch:
            (strips[window],) = run.engine.run_window(run.scene, run.plan, window)
        num_pixels = sum(math.prod(part.stop - part.start for part in tile.lr) for tile in window.tiles(run.plan))
        times.append(watch.seconds * subject.layers.tile_size**2 / num_pixels)
        shares.append(watch.waited_share)
    return _Made(run, strips, times, max(shares))


def _enlarged(made: _Made, piece: Piece, subject: Subject) -> _Made:
    """The same result again and again, over all of a piece: writing has costs that small products hardly share."""
    run, (result, *_) = _prepared(piece, (_TILES_A_SIDE, _TILES_A_SIDE), subject), made.strips.values()
    strips = {}
    for window in _rows_of(run):
        rows = run.plan.rows[window.row]
        height, width = rows.sr[1] - rows.sr[0], run.plan.sr_size[1]
        missing = [(0, 0), (0, max(0, height - result.shape[1])), (0, max(0, width - result.shape[2]))]
        strips[window] = np.pad(result, missing, mode="wrap")[:, :height, :width]
    return _Made(run, strips, [], made.waited_share)


def _prepared(piece: Piece, counts: tuple[int, int], subject: Subject) -> SceneRun:
    options = subject.options
    if piece.shows_reflectance and options.stretch is None and not _has_stretch(subject.model):
        options = replace(options, stretch=StretchConfig())
    raster = _middle(piece, _size_of(piece.scene, counts))
    return SceneRun.prepare(MemoryReader(raster), subject.model, subject.scale, options, piece.scene.name)


def _rows_of(run: SceneRun) -> list[TileWindow]:
    """Each row of tiles as a window."""
    columns = 0, len(run.plan.columns)
    return [TileWindow(row, 0, (row, row + 1), columns) for row in range(len(run.plan.rows))]


def _middle(piece: Piece, size: tuple[int, int]) -> Raster:
    """A part of a piece, with data everywhere where it has holes: tiles without data are not run, and take no time."""
    raster = piece.raster
    rows, columns = (
        slice((whole - part) // 2, (whole + part) // 2) for whole, part in zip(raster.size, size, strict=True)
    )
    mask = raster.valid_mask[rows, columns]
    pixels = raster.pixels[:, rows, columns]
    if mask.mean() < _ENOUGH_DATA:
        pixels, mask = np.nan_to_num(pixels), np.ones_like(mask)
    return replace(raster, pixels=pixels, valid_mask=mask)


def _time_writing(made: _Made, subject: Subject) -> tuple[float, int]:
    """Write the product of a part; returns seconds and bytes."""
    run, windows, layers = made.run, list(made.strips), subject.layers

    def fetch(window: TileWindow, row: int) -> FloatArray:
        return made.strips[window].copy()

    prologue = run.engine.prologue(run.scene, run.plan, assemble(run.plan, windows, fetch))
    with tempfile.TemporaryDirectory() as folder:
        image, deviation, consistency = (Path(folder) / f"{name}.tif" for name in ("image", "deviation", "consistency"))
        beside = SideProducts(deviation if layers.uncertainty else None, consistency if layers.consistency else None)
        computed = ComputedWindows(prologue, windows, fetch)
        with Stopwatch() as watch:
            run.write(SceneFiles(image, image, beside=beside), _nothing, computed, compression=subject.compression)
        return watch.seconds, sum(path.stat().st_size for path in Path(folder).iterdir())


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _has_stretch(model: LoadedModel) -> bool:
    return model.card is not None and model.card.stretch is not None


def _nothing(finished_rows: int, num_rows: int) -> None:
    pass

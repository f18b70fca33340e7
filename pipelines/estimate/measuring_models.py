"""How fast a model makes tiles and how fast products are written, on this machine, with the code that does it."""

import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.bulk.records import PlannedScene
from pipelines.estimate.workload import Layers, raw_bytes
from rssr.inference.chosen_model import model_device
from rssr.inference.engine import runs_batches
from rssr.inference.files import MemoryReader, SceneFiles, SceneReader
from rssr.inference.options import SceneOptions
from rssr.inference.products import SideProducts
from rssr.inference.scene import ComputedWindows, SceneRun
from rssr.models.loaded import LoadedModel
from rssr.raster import Raster, Window
from rssr.sentinel2 import Sentinel2Scene, StretchConfig
from rssr.tiling import Tile, output_size, sum_of_row
from rssr.windows import TileWindow, assemble, plan_windows

FloatArray = NDArray[np.float32]

_TILES_A_SIDE = 4  # of the piece of a scene that is written
_NUM_RUNS = 5
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
        num_threads: Of arithmetic on the CPU.
        deadline: Time of `time.monotonic` after which nothing is repeated.
    """

    model: LoadedModel
    scale: float
    options: SceneOptions
    layers: Layers
    num_threads: int
    deadline: float


@dataclass
class ModelSamples:
    """What was measured; see `ModelRates`."""

    tile_s: list[float] = field(default_factory=list)
    finish_values_per_s: list[float] = field(default_factory=list)
    compression_ratio: list[float] = field(default_factory=list)


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


def read_piece(scene: PlannedScene, opened: AbstractContextManager[SceneReader], samples: ReadSamples) -> Piece:
    """Open a scene and read a part of some tiles a side, from where there is data.

    Args:
        scene: That can be run.
        opened: Opens it, as workers do.
        samples: What is found is added to.

    Raises:
        RssrError: The scene cannot be read.
    """
    start = time.perf_counter()
    with opened as reader:
        samples.open_s.append(time.perf_counter() - start)
        best: Raster | None = None
        for window in _windows(scene):
            start = time.perf_counter()
            raster = reader.read(window)
            seconds = time.perf_counter() - start
            share = window.height * window.width / math.prod(scene.lr_size)
            samples.input_bytes_per_s.append(share * max(1, scene.scene.num_bytes) / max(seconds, 1e-9))
            if best is None or raster.valid_mask.mean() > best.valid_mask.mean():
                best = raster
            if best.valid_mask.mean() >= _ENOUGH_DATA:
                break
        assert best is not None, "there is at least one window"
        return Piece(scene, best, isinstance(reader, Sentinel2Scene))


def time_model(piece: Piece, subject: Subject, samples: ModelSamples) -> None:
    """Run a tile of a piece a few times, or as many as an accelerator takes at once, and write a product of the piece.

    Args:
        piece: Of a scene.
        subject: With what.
        samples: What is found is added to.

    Raises:
        RssrError: The model fails, or there is no room for the product.
    """
    scene, options = piece.scene, subject.options
    if piece.shows_reflectance and options.stretch is None and not _has_stretch(subject.model):
        options = replace(options, stretch=StretchConfig())

    def prepared(raster: Raster) -> SceneRun:
        return SceneRun.prepare(MemoryReader(raster), subject.model, subject.scale, options, scene.name)

    is_first = not samples.tile_s
    with _threads(subject.num_threads):
        result = _time_tiles(prepared(_middle(piece.raster, scene, subject)), scene, subject, samples)
        if is_first:  # what is imported and looked up once is not counted
            _time_writing(prepared(piece.raster), result, scene, subject)
        seconds, ratio = _time_writing(prepared(piece.raster), result, scene, subject)
    num_values = math.prod(output_size(piece.raster.size, subject.scale)) * len(scene.band_names)
    samples.finish_values_per_s.append(num_values / seconds)
    samples.compression_ratio.append(ratio)


def _windows(scene: PlannedScene) -> Iterator[Window]:
    """The middle of a scene, then other parts of it."""
    (height, width), stride = scene.lr_size, max(1, scene.tile_size - 2 * scene.halo)
    side = scene.tile_size + (_TILES_A_SIDE - 1) * stride
    size = min(height, side), min(width, side)
    for down, right in _PLACES if size != (height, width) else _PLACES[:1]:
        yield Window(round(down * (height - size[0])), round(right * (width - size[1])), *size)


def _middle(piece: Raster, scene: PlannedScene, subject: Subject) -> Raster:
    """As many tiles of a piece as run at once, without holes: tiles without data would not be run."""
    count = subject.options.tiling.batch_size if runs_batches(model_device(subject.model)) else 1
    stride = max(1, scene.tile_size - 2 * scene.halo)
    wanted = scene.tile_size, scene.tile_size + (count - 1) * stride
    rows, columns = (
        slice((length - min(length, side)) // 2, (length + min(length, side)) // 2)
        for length, side in zip(piece.size, wanted, strict=True)
    )
    pixels = np.nan_to_num(piece.pixels[:, rows, columns])
    return replace(piece, pixels=pixels, valid_mask=np.ones(pixels.shape[1:], np.bool_))


def _time_tiles(run: SceneRun, scene: PlannedScene, subject: Subject, samples: ModelSamples) -> FloatArray:
    """Run a row of tiles until it is known how long it takes; returns its strip."""
    window = TileWindow(0, 0, (0, 1), (0, len(run.plan.columns)))
    num_pixels = sum(math.prod(part.stop - part.start for part in tile.lr) for tile in window.tiles(run.plan))
    times: list[float] = []
    while True:
        start = time.perf_counter()
        strip = run.engine.run_strip(run.scene, run.plan, window, 0)
        times.append(time.perf_counter() - start)
        if len(times) > _NUM_RUNS or time.monotonic() + times[-1] > subject.deadline:
            break
    whole_tiles = num_pixels / subject.layers.tile_size**2
    samples.tile_s += [seconds / whole_tiles for seconds in times[1:] or times]
    return strip


def _time_writing(run: SceneRun, result: FloatArray, scene: PlannedScene, subject: Subject) -> tuple[float, float]:
    """Write a product whose tiles all look like the one that was computed.

    Returns:
        Seconds, and bytes of the files for each byte of values.
    """
    (window,) = plan_windows(run.plan, len(run.plan))

    def fetch(window: TileWindow, row: int) -> FloatArray:
        tiles = (Tile(run.plan.rows[row], run.plan.columns[column]) for column in window.columns)
        return sum_of_row(run.plan, row, window.columns, (_fitted(result, tile.sr_size) for tile in tiles))

    prologue = run.engine.prologue(run.scene, run.plan, assemble(run.plan, [window], fetch))
    layers = subject.layers
    with tempfile.TemporaryDirectory() as folder:
        image, deviation, consistency = (Path(folder) / f"{name}.tif" for name in ("image", "deviation", "consistency"))
        beside = SideProducts(deviation if layers.uncertainty else None, consistency if layers.consistency else None)
        start = time.perf_counter()
        run.write(SceneFiles(image, image, beside=beside), _nothing, ComputedWindows(prologue, [window], fetch))
        seconds = time.perf_counter() - start
        num_bytes = sum(path.stat().st_size for path in Path(folder).iterdir())
    piece = replace(scene, lr_size=run.plan.lr_size, sr_size=run.plan.sr_size)
    return seconds, num_bytes / raw_bytes(piece, layers)


def _fitted(result: FloatArray, size: tuple[int, int]) -> FloatArray:
    """A result of another size: cut, or its last row and column repeated."""
    height, width = size
    missing = [(0, 0), (0, max(0, height - result.shape[1])), (0, max(0, width - result.shape[2]))]
    return np.pad(result, missing, mode="edge")[:, :height, :width]


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

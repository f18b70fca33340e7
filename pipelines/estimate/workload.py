"""What a planned scene asks for: tiles, bytes and values, told from its plan alone."""

import math
import re
from dataclasses import dataclass

import numpy as np

from pipelines.bulk.records import PlannedScene

_COLUMN = re.compile(r"c(\d+)$")
_OVERVIEWS = 4 / 3  # of the pixels of the full size
_FLOAT_BYTES = 4
_SAMPLED_TILES = 64  # that the colours of a large scene are taken from, see `rssr.inference.engine`


@dataclass(frozen=True)
class Layers:
    """What is made of every scene.

    Attributes:
        num_model_bands: Bands that the model makes; None where it makes all of a product.
        uncertainty: Whether deviations are computed and written.
        consistency: Whether a layer on the LR grid is written.
        tiles_a_side: Of a window.
        matches_scene: Whether colours are matched once for the whole scene, which takes tiles of its own.
    """

    num_model_bands: int | None = None
    uncertainty: bool = False
    consistency: bool = True
    tiles_a_side: int = 8
    matches_scene: bool = False


@dataclass(frozen=True)
class SceneWork:
    """What one scene asks for.

    Attributes:
        num_windows: Pieces of work.
        num_tiles: Tiles of the scene.
        whole_tiles: Tiles of the full size that have as many pixels; edges cut some.
        extra_tiles: The same of those that run once more, for the scene's colours.
        read_share: Share of the scene that windows read: more than 1, since they overlap.
        lr_pixels: Of the scene.
        sr_pixels: Of the product.
        area_km2: On the ground; None where that is unknown.
        input_bytes: Of the scene as it is stored.
        sr_values: Pixels times bands of the product.
        product_raw_bytes: Values of all its files, overviews included.
        work_bytes: Of its computed windows, uncompressed.
    """

    num_windows: int
    num_tiles: int
    whole_tiles: float
    extra_tiles: float
    read_share: float
    lr_pixels: int
    sr_pixels: int
    area_km2: float | None
    input_bytes: int
    sr_values: int
    product_raw_bytes: float
    work_bytes: float

    def scratch_bytes(self, compression_ratio: float) -> float:
        """Local disk that one worker needs to write the product: all pixels as they are, and the finished files."""
        return self.product_raw_bytes * (1 + compression_ratio)


@dataclass(frozen=True)
class _Cut:
    """How a scene is cut: rows and columns of tiles, columns of windows, and how many LR pixels neighbours share."""

    rows: int
    columns: int
    window_columns: int
    shared: int


def scene_work(scene: PlannedScene, layers: Layers) -> SceneWork:
    """What a scene that can be run asks for.

    Args:
        scene: As it is planned, not refused.
        layers: What is made of it.
    """
    (height, width), (sr_height, sr_width) = scene.lr_size, scene.sr_size
    cut, tile = _cut_of(scene), scene.tile_size
    tiled_height = height + (cut.rows - 1) * cut.shared
    tiled_width = width + (cut.columns - 1) * cut.shared
    windowed_width = width + (cut.window_columns - 1) * cut.shared
    strip_bytes = _FLOAT_BYTES * _model_bands(scene, layers) * (1 + layers.uncertainty)
    whole_tiles = tiled_height * tiled_width / tile**2
    lr_pixels, sr_pixels = height * width, sr_height * sr_width
    return SceneWork(
        num_windows=len(scene.windows),
        num_tiles=scene.num_tiles,
        whole_tiles=whole_tiles,
        extra_tiles=_extra_share(scene.num_tiles) * whole_tiles if layers.matches_scene else 0.0,
        read_share=tiled_height * tiled_width / lr_pixels,
        lr_pixels=lr_pixels,
        sr_pixels=sr_pixels,
        area_km2=None if scene.gsd_m is None else lr_pixels * scene.gsd_m**2 / 1e6,
        input_bytes=scene.scene.num_bytes,
        sr_values=sr_pixels * len(scene.band_names),
        product_raw_bytes=raw_bytes(scene, layers),
        work_bytes=strip_bytes * tiled_height * windowed_width * (sr_height / height) * (sr_width / width),
    )


def raw_bytes(scene: PlannedScene, layers: Layers) -> float:
    """Bytes of the values of a scene's rasters, overviews included.

    Args:
        scene: As it is planned.
        layers: What is made of it.
    """
    model_bands = _model_bands(scene, layers)
    lr_pixels, sr_pixels = math.prod(scene.lr_size), math.prod(scene.sr_size)
    num_bytes = sr_pixels * len(scene.band_names) * np.dtype(scene.dtype).itemsize
    if layers.uncertainty:
        num_bytes += sr_pixels * model_bands * _FLOAT_BYTES
    if layers.consistency:
        num_bytes += lr_pixels * _FLOAT_BYTES
    return num_bytes * _OVERVIEWS


def _model_bands(scene: PlannedScene, layers: Layers) -> int:
    num_bands = len(scene.band_names)
    return num_bands if layers.num_model_bands is None else min(layers.num_model_bands, num_bands)


def _extra_share(num_tiles: int) -> float:
    """Share of a scene's tiles that are run for its colours alone; of small ones none: their windows are read twice."""
    if num_tiles <= _SAMPLED_TILES:
        return 0.0
    return 1 / -(-num_tiles // _SAMPLED_TILES)


def _cut_of(scene: PlannedScene) -> _Cut:
    """The number of tiles says which stride the scene was cut with: the longest that comes to as many."""
    height, width = scene.lr_size
    longest = max(1, scene.tile_size - 2 * scene.halo)
    for stride in range(longest, 0, -1):
        rows, columns = (_num_spans(length, scene.tile_size, stride) for length in (height, width))
        if rows * columns >= scene.num_tiles:
            break
    window_columns = 1 + max((int(found[1]) for key in scene.windows if (found := _COLUMN.search(key))), default=0)
    return _Cut(rows, columns, window_columns, scene.tile_size - stride)


def _num_spans(length: int, tile_size: int, stride: int) -> int:
    return 1 if length <= tile_size else 1 + math.ceil((length - tile_size) / stride)

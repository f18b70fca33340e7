"""What a planned scene asks for: tiles, bytes and values, told from its plan alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.bulk.records import PlannedScene
from pipelines.bulk.work.tasks import is_whole
from rssr.tiling import Span, TilePlan
from rssr.windows import plan_windows

_OVERVIEWS = 4 / 3  # of the pixels of the full size
_FLOAT_BYTES = 4
_SAMPLED_TILES = 64  # that the colours of a large scene are taken from, see `rssr.inference.engine`


@dataclass(frozen=True)
class Layers:
    """What is made of every scene.

    Attributes:
        tile_size: Side of a whole tile, LR pixels.
        tiles_a_side: Of a window.
        num_model_bands: Bands that the model makes; None where it makes all of a product.
        uncertainty: Whether deviations are computed and written.
        consistency: Whether a layer on the LR grid is written.
        keeps_windows: Whether windows are kept until their product is there.
        matches_scene: Whether colours are matched once for the whole scene, which takes tiles of its own.
    """

    tile_size: int
    tiles_a_side: int = 8
    num_model_bands: int | None = None
    uncertainty: bool = False
    consistency: bool = True
    keeps_windows: bool = True
    matches_scene: bool = False


@dataclass(frozen=True)
class SceneWork:
    """What one scene asks for.

    Attributes:
        num_windows: Windows of the scene.
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
        work_bytes: Of its computed windows, as they are kept; none where it becomes a product at once.
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

    @property
    def is_whole(self) -> bool:
        """Whether it is computed and written as one piece of work."""
        return self.work_bytes == 0

    def scratch_bytes(self, compression_ratio: float) -> float:
        """Local disk that one worker needs to write the product: all pixels as they are, and the finished files."""
        return self.product_raw_bytes * (1 + compression_ratio)


def scene_work(scene: PlannedScene, plan: TilePlan, layers: Layers) -> SceneWork:
    """What a scene that can be run asks for.

    Args:
        scene: As it is planned, not refused.
        plan: How it is cut.
        layers: What is made of it.
    """
    read_pixels = _total(plan.rows) * _total(plan.columns)
    strip_bytes = _FLOAT_BYTES * _model_bands(scene, layers) * (1 + layers.uncertainty)
    whole_tiles = read_pixels / layers.tile_size**2
    lr_pixels, sr_pixels = math.prod(scene.lr_size), math.prod(scene.sr_size)
    return SceneWork(
        num_windows=len(scene.windows),
        num_tiles=len(plan),
        whole_tiles=whole_tiles,
        extra_tiles=_extra_share(len(plan)) * whole_tiles if layers.matches_scene else 0.0,
        read_share=read_pixels / lr_pixels,
        lr_pixels=lr_pixels,
        sr_pixels=sr_pixels,
        area_km2=None if scene.gsd_m is None else lr_pixels * scene.gsd_m**2 / 1e6,
        input_bytes=scene.scene.num_bytes,
        sr_values=sr_pixels * len(scene.band_names),
        product_raw_bytes=raw_bytes(scene, layers),
        work_bytes=0
        if is_whole(scene, keeps_windows=layers.keeps_windows)
        else strip_bytes * _strips_height(plan) * _strips_width(plan, layers),
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


def _total(spans: Sequence[Span]) -> int:
    """LR pixels of all tiles along an axis."""
    return sum(span.lr[1] - span.lr[0] for span in spans)


def _strips_height(plan: TilePlan) -> int:
    """SR rows of the rows of tiles, which share some."""
    return sum(span.sr[1] - span.sr[0] for span in plan.rows)


def _strips_width(plan: TilePlan, layers: Layers) -> int:
    """SR columns of the windows beside one another, which share some."""
    first_row = (window for window in plan_windows(plan, layers.tiles_a_side) if window.row == 0)
    return sum(place.stop - place.start for place in (window.sr_columns(plan) for window in first_row))

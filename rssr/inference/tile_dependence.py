"""How much a model's results depend on the size of its tiles."""

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rssr.card import TileDependence
from rssr.inference.files import SceneFiles, open_scene
from rssr.inference.options import SceneOptions
from rssr.inference.reflectance import bands_for
from rssr.inference.scene import SceneRun
from rssr.inference.stored_scene import StoredScene
from rssr.models.loaded import LoadedModel
from rssr.raster import RasterReader, Window, open_raster

SMALL_TILE, LARGE_TILE = 256, 512
"""Sides of the tiles that are compared, LR pixels."""

_BEST_DB = 120.0  # told of results that are as good as equal
_RANGE = 2.0  # of network values
_ROWS = 256  # SR rows that are compared at a time


def measure_tile_dependence(
    model: LoadedModel,
    scenes: Sequence[Path],
    scale: float,
    options: SceneOptions,
    tile_sizes: tuple[int, int] = (SMALL_TILE, LARGE_TILE),
) -> TileDependence:
    """Run scenes with two sizes of tiles and compare the products.

    Args:
        model: The model.
        scenes: Files; those that fit into one small tile tell nothing.
        scale: Enlargement of each side.
        options: How scenes are run; `tile_size` is not looked at, and a halo that is given holds for both sizes.
        tile_sizes: The smaller and the larger side, LR pixels.

    Returns:
        PSNR over all valid pixels, and the largest seam score with the smaller tiles.

    Raises:
        RssrError: A scene cannot be run; see `rssr.inference.super_resolve_scene`.
    """
    squares, count, seams = 0.0, 0, [1.0]
    for scene in scenes:
        with tempfile.TemporaryDirectory() as folder:
            products = [Path(folder) / f"{size}.tif" for size in tile_sizes]
            runs = [
                _run(model, (scene, product), scale, replace(options, tiling=replace(options.tiling, tile_size=size)))
                for product, size in zip(products, tile_sizes, strict=True)
            ]
            seams.append(runs[0][1])
            with open_raster(products[0]) as small, open_raster(products[1]) as large:
                for difference in _differences(runs[0][0], small, large):
                    squares, count = squares + float(np.square(difference).sum()), count + difference.size
    return TileDependence(psnr_db=_psnr_db(squares, count), seam_score=max(seams))


def _run(
    model: LoadedModel, files: tuple[Path, Path], scale: float, options: SceneOptions
) -> tuple[StoredScene, float]:
    """Write a product; what its values mean, and its seam score."""
    wanted = SceneFiles(*files)
    wanted.check()
    with open_scene(wanted.source, bands_for(model)) as reader:
        run = SceneRun.prepare(reader, model, scale, options, str(wanted.source))
        run.write(wanted, lambda finished, total: None)
        return run.scene, run.report().seam_score


def _differences(scene: StoredScene, one: RasterReader, other: RasterReader) -> Iterator[np.ndarray]:
    """Of network values [C, pixels], where there is data."""
    height, width = one.info.size
    for row in range(0, height, _ROWS):
        window = Window(row, 0, min(_ROWS, height - row), width)
        first, second = one.read(window), other.read(window)
        values = [scene.values.to_network(part.pixels[:, first.valid_mask]) for part in (first, second)]
        yield values[0].astype(np.float64) - values[1]


def _psnr_db(squares: float, count: int) -> float | None:
    if count == 0:
        return None
    mean = squares / count
    return _BEST_DB if mean == 0 else min(_BEST_DB, 10 * math.log10(_RANGE**2 / mean))

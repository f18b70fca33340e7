"""After training: how much results depend on the size of tiles, measured on a scene larger than any of them."""

import logging
from dataclasses import replace
from pathlib import Path

from pipelines.experiment.training import Plan
from pipelines.storage import local_path, open_store
from rssr.card import ModelCard, TileDependence
from rssr.inference.options import SceneOptions, TilingOptions
from rssr.inference.planning import plan_draws
from rssr.inference.tile_dependence import LARGE_TILE, SMALL_TILE, measure_tile_dependence
from rssr.metrics.seams import SEAM_LIMIT
from rssr.models.loaded import LoadedModel
from rssr.scenes import write_scene_geotiff
from rssr.seeds import derive_seed

log = logging.getLogger(__name__)

SAMPLE = "sample"
"""Stands for a procedural scene."""
LEAST_DB = 40.0
"""What results with tiles of both sizes should have in common."""

_SIDE = LARGE_TILE + SMALL_TILE // 2  # LR pixels: several tiles of either size


def measure_tiles(plan: Plan, model: LoadedModel, card: ModelCard, work: Path) -> TileDependence | None:
    """Run the configured scene with tiles of two sizes; None where there is none.

    Args:
        plan: Names the scene and the scale.
        model: Trained.
        card: What it will have as its card: halo and colours as its users will have them.
        work: Where a local copy of the scene goes.

    Raises:
        RssrError: The scene cannot be read, or does not fit the model.
    """
    config = plan.config
    if config.product.tile_scene is None:
        return None
    with_card = replace(model, card=card)
    options = SceneOptions(TilingOptions(), plan_draws(with_card, config.seed, None, with_deviation=False))
    measured = measure_tile_dependence(with_card, [_scene(plan, work)], config.product_scale, options)
    _tell(measured, config.registry.name)
    return measured


def _scene(plan: Plan, work: Path) -> Path:
    named = str(plan.config.product.tile_scene)
    if named == SAMPLE:
        path = work / "tile_scene.tif"
        gsd_m = plan.config.product.sample.gsd_m
        write_scene_geotiff(path, derive_seed(plan.config.seed, "tile scene"), _SIDE, _SIDE, gsd_m=gsd_m)
        return path
    if (local := local_path(named)) is not None:
        return local
    parent, _, name = named.rpartition("/")
    path = work / f"tile_scene_{name}"
    open_store(parent).download_file(name, path)
    return path


def _tell(measured: TileDependence, name: str) -> None:
    psnr_db, seams = measured.psnr_db, measured.seam_score
    if psnr_db is not None and psnr_db < LEAST_DB:
        log.warning(
            "%s depends on how scenes are cut: tiles of %d and of %d pixels agree to %.1f dB (%g are wanted). Its card "
            "says so. A wider product.halo helps, or product.color_match=local.",
            name,
            SMALL_TILE,
            LARGE_TILE,
            psnr_db,
            LEAST_DB,
        )
    if seams is not None and seams > SEAM_LIMIT:
        log.warning("Tiles of %s show: its seam score is %.3f, above %g.", name, seams, SEAM_LIMIT)

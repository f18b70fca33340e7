"""Scenes that nobody has yet, and a model that need not be here: all that is known of it are its rates."""

from pathlib import Path
from typing import Any

import numpy as np

from pipelines.bulk.records import InputScene, PlannedScene
from pipelines.estimate.config import ImaginedScenesConfig, PlanConfig
from pipelines.estimate.kept_rates import read_rates
from pipelines.estimate.planned import num_files
from pipelines.estimate.rates import configured_settings, require_settings
from pipelines.estimate.scaling import Workload
from pipelines.estimate.speed import Rates
from pipelines.estimate.workload import Layers, scene_work
from rssr.errors import ConfigError
from rssr.tiling import TilePlan, output_size, plan_tiles
from rssr.windows import plan_windows


def imagined_run(imagined: ImaginedScenesConfig, config: PlanConfig) -> tuple[Workload, Rates]:
    """All there is to do for such scenes, and the rates it is told from.

    Args:
        imagined: The scenes.
        config: How they are run; what it leaves to the model is as it was when the rates were measured.

    Raises:
        ConfigError: The rates are of another model or for something else, or the tiles are too small.
    """
    path = Path(config.plan.rates or "")
    rates = read_rates(path)
    if rates.model.model != config.model:
        raise ConfigError(
            f"The rates in {path} are those of {rates.model.model}, not of {config.model}.",
            f"Give model={rates.model.model}, or other rates.",
        )
    settings = rates.model.settings.model_copy(update=_told(imagined, config))
    require_settings(rates, settings, path)
    lr_size = imagined.lr_size
    plan = plan_tiles(lr_size, output_size(lr_size, config.scale), settings.tile_size, settings.halo)
    layers = Layers(
        tile_size=settings.tile_size,
        tiles_a_side=config.tiling.tiles_a_side,
        num_model_bands=settings.num_model_bands,
        uncertainty=config.products.uncertainty,
        consistency=config.products.consistency,
        keeps_windows=config.keeps_windows,
        matches_scene=settings.color_match == "scene",
    )
    work = scene_work(_planned(imagined, plan, config), plan, layers)
    return Workload([(work, imagined.num_scenes)], num_files(config), config.verify), rates


def _told(imagined: ImaginedScenesConfig, config: PlanConfig) -> dict[str, Any]:
    """What the configuration does say."""
    tiling = config.tiling
    told = {
        "tile_size": tiling.tile_size,
        "halo": tiling.halo,
        "color_match": tiling.color_match,
        "num_samples": config.num_samples,
    }
    known = {name: value for name, value in told.items() if value is not None}
    return {**configured_settings(config), "num_bands": len(imagined.band_names), **known}


def _planned(imagined: ImaginedScenesConfig, plan: TilePlan, config: PlanConfig) -> PlannedScene:
    height, width = imagined.lr_size
    num_bytes = height * width * len(imagined.band_names) * np.dtype(imagined.dtype).itemsize
    return PlannedScene(
        scene=InputScene("imagined", "imagined", "", "raster", imagined.scene_bytes or num_bytes, ""),
        lr_size=plan.lr_size,
        sr_size=plan.sr_size,
        dtype=imagined.dtype,
        band_names=imagined.band_names,
        gsd_m=imagined.gsd_m,
        num_tiles=len(plan),
        windows=tuple(window.key for window in plan_windows(plan, config.tiling.tiles_a_side)),
    )

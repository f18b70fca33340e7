"""The run that is estimated: its scenes as the bulk job plans them, or imagined ones, and its model."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from pipelines.bulk.records import InputScene, PlannedScene
from pipelines.estimate.config import ImaginedScenesConfig, PlanConfig
from pipelines.estimate.estimate import Scenes
from pipelines.estimate.workload import Layers
from rssr.inference.chosen_model import check_scale
from rssr.inference.files import SceneReader
from rssr.inference.options import SceneOptions, TilingOptions
from rssr.inference.planning import plan_draws, plan_scene
from rssr.models.loaded import LoadedModel
from rssr.windows import plan_windows

Opened = Callable[[PlannedScene], AbstractContextManager[SceneReader]]
"""Opens a scene as workers do."""


@dataclass(frozen=True)
class PlannedRun:
    """What shall be run.

    Attributes:
        scenes: As planned, each with how many there are like it.
        model: Loaded.
        model_digest: SHA-256 of its folder; empty for `bicubic`.
        options: How scenes are run.
        opened: Opens one of them.
    """

    scenes: Scenes
    model: LoadedModel
    model_digest: str
    options: SceneOptions
    opened: Opened

    @property
    def runnable(self) -> list[PlannedScene]:
        """Scenes that are not refused."""
        return [scene for scene, _ in self.scenes if not scene.refusal]


def layers_of(run: PlannedRun, config: PlanConfig) -> Layers:
    """What is made of every scene."""
    card = run.model.card
    return Layers(
        num_model_bands=None if card is None else len(card.bands),
        uncertainty=config.products.uncertainty,
        consistency=config.products.consistency,
        tiles_a_side=config.tiling.tiles_a_side,
        matches_scene=run.options.tiling.completed(card).color_match == "scene",
    )


def scene_options(config: PlanConfig, model: LoadedModel) -> SceneOptions:
    """How the bulk job runs scenes.

    Raises:
        ModelError: The model cannot do what is asked of it.
    """
    tiling, products = config.tiling, config.products
    return SceneOptions(
        TilingOptions(tiling.tile_size, tiling.halo, tiling.color_match, tiling.batch_size),
        plan_draws(model, config.seed, config.num_samples, with_deviation=products.uncertainty),
        products.uncertainty,
        products.project,
        products.other_bands,
        products.stretch,
    )


def imagined_scene(imagined: ImaginedScenesConfig, config: PlanConfig, model: LoadedModel) -> PlannedScene:
    """One of the scenes that nobody has yet, planned as if it were there.

    Raises:
        ConfigError: The tiles are too small.
        ModelError: The model does not fit the scale.
    """
    check_scale(model, config.scale)
    options = scene_options(config, model).tiling.completed(model.card)
    plan = plan_scene(model, imagined.lr_size, config.scale, options)
    windows = plan_windows(plan, config.tiling.tiles_a_side)
    height, width = imagined.lr_size
    num_bytes = imagined.scene_bytes or height * width * len(imagined.band_names) * np.dtype(imagined.dtype).itemsize
    first = plan.rows[0].lr
    return PlannedScene(
        scene=InputScene("imagined", "imagined", "", "raster", num_bytes, ""),
        lr_size=plan.lr_size,
        sr_size=plan.sr_size,
        dtype=imagined.dtype,
        band_names=imagined.band_names,
        gsd_m=imagined.gsd_m,
        tile_size=max(options.tile_size, first[1] - first[0]),
        halo=options.halo,
        num_tiles=len(plan),
        windows=tuple(window.key for window in windows),
    )

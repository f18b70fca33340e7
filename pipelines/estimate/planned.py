"""The run that is estimated: its scenes as the bulk job plans them, and its model."""

import datetime
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache

import torch

from pipelines.bulk.commits.ledger import Ledger
from pipelines.bulk.commits.retrying import has_failed
from pipelines.bulk.inputs.opening import opened_scene
from pipelines.bulk.planning.options import scene_options
from pipelines.bulk.planning.prepare import prepare_run
from pipelines.bulk.planning.sample import with_sample
from pipelines.bulk.records import PlannedScene
from pipelines.estimate.config import PlanConfig
from pipelines.estimate.scaling import Workload
from pipelines.estimate.workload import Layers, SceneWork, scene_work
from pipelines.progress import Progress
from pipelines.storage import StorageSettings, Store, open_store
from rssr.errors import ConfigError
from rssr.inference.files import SceneReader
from rssr.inference.options import SceneOptions
from rssr.inference.planning import plan_scene
from rssr.models.loaded import LoadedModel
from rssr.tiling import TilePlan

Opened = Callable[[PlannedScene], AbstractContextManager[SceneReader]]
"""Opens a scene as workers do."""


@dataclass(frozen=True)
class PlannedRun:
    """What shall be run.

    Attributes:
        scenes: As planned, those refused among them; without those that are finished.
        num_finished: Scenes that the output holds already.
        model: Loaded.
        model_digest: SHA-256 of its folder; empty for `bicubic`.
        options: How scenes are run.
        opened: Opens one of them.
    """

    scenes: Sequence[PlannedScene]
    num_finished: int
    model: LoadedModel
    model_digest: str
    options: SceneOptions
    opened: Opened

    @property
    def runnable(self) -> list[PlannedScene]:
        """Scenes that are not refused."""
        return [scene for scene in self.scenes if not scene.refusal]

    @property
    def refused(self) -> list[PlannedScene]:
        """Those that are."""
        return [scene for scene in self.scenes if scene.refusal]


def planned_run(config: PlanConfig) -> PlannedRun:
    """The run that a configuration means. Nothing is written.

    Raises:
        ConfigError: The output holds another run, an input is the output, or there is no GPU to measure on.
        DataError: An input holds no scenes, or not one can be run.
        ModelError: There is no such model, or it does not do what is asked for.
        StorageError: A store fails.
    """
    settings, config = StorageSettings.from_environment(), with_sample(config)
    output, device = open_store(config.output.uri, settings), _device(config)
    with Progress("planning scenes") as progress:
        now = datetime.datetime.now(datetime.UTC)
        prepared = prepare_run(config, output, settings, now, progress.update, writes=False)
    finished = _finished(config, output, prepared.plan.added)
    scenes = [scene for scene in prepared.plan.scenes if scene.name not in finished]
    model = prepared.model.load(device)
    options = scene_options(config, model)
    return PlannedRun(
        scenes=scenes,
        num_finished=len(prepared.plan.scenes) - len(scenes),
        model=model,
        model_digest=prepared.model.digest,
        options=options,
        opened=lambda scene: opened_scene(scene.scene, model, options, settings),
    )


def layers_of(run: PlannedRun, config: PlanConfig) -> Layers:
    """What is made of every scene."""
    card = run.model.card
    return Layers(
        tile_size=max(scene.tile_size for scene in run.runnable),
        tiles_a_side=config.tiling.tiles_a_side,
        num_model_bands=None if card is None else len(card.bands),
        uncertainty=config.products.uncertainty,
        consistency=config.products.consistency,
        keeps_windows=config.keeps_windows,
        matches_scene=run.options.tiling.completed(card).color_match == "scene",
    )


def workload_of(run: PlannedRun, config: PlanConfig) -> Workload:
    """All there is to do; scenes that ask for the same are counted."""
    layers, options = layers_of(run, config), run.options.tiling.completed(run.model.card)

    @lru_cache
    def cut(lr_size: tuple[int, int]) -> TilePlan:
        return plan_scene(run.model, lr_size, config.scale, options)

    counts: Counter[SceneWork] = Counter()
    for scene in run.runnable:
        counts[scene_work(scene, cut(scene.lr_size), layers)] += 1
    return Workload(tuple(counts.items()), num_files(config), config.verify)


def num_files(config: PlanConfig) -> int:
    """Image, thumbnail, item and the ledger's entry, and the layers that are wanted."""
    return 4 + config.products.uncertainty + config.products.consistency


def on_gpu(config: PlanConfig) -> bool:
    """Whether workers run the model on a GPU; in this process it does where there is one."""
    return config.worker.num_gpus > 0 or (config.num_workers == 0 and torch.cuda.is_available())


def _device(config: PlanConfig) -> str:
    """Where the model is measured, if it is.

    Raises:
        ConfigError: There is no GPU here.
    """
    if not on_gpu(config) or config.plan.rates is not None:
        return "cpu"
    if not torch.cuda.is_available():
        raise ConfigError(
            f"worker.num_gpus is {config.worker.num_gpus:g}, but this machine has no GPU to measure on.",
            "Run this job where there is one, with plan.save_rates=FILE, and give that file here: plan.rates=FILE.",
        )
    return "cuda"


def _finished(config: PlanConfig, output: Store, added: Collection[str]) -> set[str]:
    """Names of scenes that the bulk job would leave as they are."""
    if config.fresh:
        return set()
    records = Ledger(output).read_all()
    again = set(records) if config.retry_failed else set(added)
    return {name for name, record in records.items() if not (name in again and has_failed(record))}

"""Scenes that a worker has open, each with its plan and its engine."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipelines.bulk.config import BulkConfig
from pipelines.bulk.inputs.opening import opened_scene
from pipelines.bulk.planning.options import scene_options
from pipelines.bulk.records import PlannedScene
from pipelines.bulk.work.tasks import is_whole
from pipelines.models import ModelSource
from pipelines.storage import StorageSettings
from rssr.errors import DataError
from rssr.inference import ComputedWindows, SceneRun
from rssr.inference.chosen_model import usual_device
from rssr.inference.tile_runner import TileCounts
from rssr.windows import TileWindow

FloatArray = NDArray[np.float32]

_MOST_OPEN = 2  # the scene whose windows are computed, and the one whose product is written


class OpenScene:
    """A scene that is ready to be computed and written.

    Attributes:
        run: Plan, engine and finishing.
        windows: By key.
        keeps_windows: Whether these are computed by themselves, and read when the product is written.
    """

    def __init__(self, scene: PlannedScene, run: SceneRun, config: BulkConfig) -> None:
        self.run = run
        self.keeps_windows = not is_whole(scene, keeps_windows=config.keeps_windows)
        self.windows: Mapping[str, TileWindow] = {
            window.key: window for window in run.windows(config.tiling.tiles_a_side)
        }
        if tuple(self.windows) != scene.windows or run.plan.sr_size != scene.sr_size:
            raise DataError(
                f"{scene.scene.uri} is not what it was when it was planned.", "Give another output, or fresh=true."
            )

    def compute(self, key: str) -> tuple[list[FloatArray], TileCounts]:
        """A window's strips, and what became of its tiles.

        Raises:
            RssrError: It failed.
        """
        self.run.engine.take_counts()
        strips = self.run.engine.run_window(self.run.scene, self.run.plan, self.windows[key])
        return strips, self.run.engine.take_counts()

    @property
    def is_cut_in_vain(self) -> bool:
        """Whether it has several windows, but is computed as a whole as long as none of them fails."""
        return not self.keeps_windows and len(self.windows) > 1

    def try_out(self, key: str) -> None:
        """Compute a window and keep nothing of it.

        Raises:
            RssrError: It failed.
        """
        window = self.windows[key]
        for row in window.rows:
            self.run.engine.run_strip(self.run.scene, self.run.plan, window, row)

    def computed_when_asked(self, lost: Sequence[TileWindow]) -> ComputedWindows:
        """All windows, computed when they are asked for; some of them are known to fail."""
        windows, fetch = list(self.windows.values()), partial(self.run.engine.run_strip, self.run.scene, self.run.plan)
        prologue = self.run.prologue(windows, fetch, lost)
        self.run.engine.take_counts()  # what the prologue needed is not counted
        return ComputedWindows(prologue, windows, fetch, lost)


class OpenRuns:
    """Opens scenes, and keeps the last few open: the next window is most often of the same scene.

    Args:
        config: Of the run.
        source: Where the model comes from.
        settings: How to reach S3.

    Raises:
        RssrError: The model cannot be loaded.
    """

    def __init__(self, config: BulkConfig, source: ModelSource, settings: StorageSettings) -> None:
        self._config = config
        self._settings = settings
        self.model = source.load("cpu" if source.is_interpolation else usual_device())
        self._options = scene_options(config, self.model)
        self._open: OrderedDict[str, tuple[ExitStack, OpenScene]] = OrderedDict()

    def get(self, scene: PlannedScene) -> OpenScene:
        """The scene, opened where it is not yet.

        Raises:
            RssrError: It cannot be opened, or has changed.
        """
        if scene.name not in self._open:
            while len(self._open) >= _MOST_OPEN:
                self._open.popitem(last=False)[1][0].close()
            self._open[scene.name] = self._opened(scene)
        self._open.move_to_end(scene.name)
        return self._open[scene.name][1]

    def close(self, name: str) -> None:
        """Close a scene, so that its next run starts with nothing counted."""
        if name in self._open:
            self._open.pop(name)[0].close()

    def _opened(self, scene: PlannedScene) -> tuple[ExitStack, OpenScene]:
        with ExitStack() as opened:
            reader = opened.enter_context(opened_scene(scene.scene, self.model, self._options, self._settings))
            run = SceneRun.prepare(reader, self.model, self._config.scale, self._options, scene.scene.uri)
            found = OpenScene(scene, run, self._config)
            return opened.pop_all(), found

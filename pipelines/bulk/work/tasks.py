"""The pieces of work of a bulk run, and what comes of each."""

from dataclasses import dataclass

from pipelines.bulk.commits.verify_product import SceneToCheck
from pipelines.bulk.records import PlannedScene, SceneRecord


@dataclass(frozen=True)
class WindowTask:
    """Compute one window of a scene and keep it.

    Attributes:
        scene: The scene.
        window: Key of the window.
    """

    scene: PlannedScene
    window: str

    @property
    def about(self) -> str:
        """What it is about, for the log."""
        return self.scene.name


@dataclass(frozen=True)
class ProductTask:
    """Write, commit and record a scene's product; where no windows are kept, compute it too.

    Attributes:
        scene: The scene.
        failed: Windows that failed, by key, with the reason; they are masked.
        compute_s: Seconds that its windows took in this run.
    """

    scene: PlannedScene
    failed: tuple[tuple[str, str], ...] = ()
    compute_s: float = 0.0

    @property
    def about(self) -> str:
        """What it is about, for the log."""
        return self.scene.name


@dataclass(frozen=True)
class CheckTask:
    """Read what lies in the output of some scenes, and say what is wrong with it.

    Attributes:
        scenes: The scenes, one at least.
    """

    scenes: tuple[SceneToCheck, ...]

    @property
    def about(self) -> str:
        """What it is about, for the log."""
        more = len(self.scenes) - 1
        return f"the check of {self.scenes[0].name}" + (f" and {more} more" if more else "")


SceneTask = WindowTask | ProductTask
Task = SceneTask | CheckTask


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Attributes:
        seconds: Wall-clock time of the worker.
        failure: Why a window could not be computed; empty where it could.
        record: What became of the scene, from a `ProductTask`.
        worker: Which process it was, e.g. `host:1234`.
        found: Of a `CheckTask`: each scene's name and what is wrong with it, in sentences.
    """

    seconds: float
    failure: str = ""
    record: SceneRecord | None = None
    worker: str = ""
    found: tuple[tuple[str, tuple[str, ...]], ...] = ()


def is_whole(scene: PlannedScene, *, keeps_windows: bool) -> bool:
    """Whether a scene is computed and written as one task: nothing is kept in between, or it has but one window."""
    return not keeps_windows or len(scene.windows) == 1

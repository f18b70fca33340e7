"""The pieces of work of a bulk run, and what comes of each."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class ProductTask:
    """Write, commit and record a scene's product; of a scene of one window compute it too.

    Attributes:
        scene: The scene.
        failed: Windows that failed, by key, with the reason; they are masked.
        compute_s: Seconds that its windows took in this run.
    """

    scene: PlannedScene
    failed: tuple[tuple[str, str], ...] = ()
    compute_s: float = 0.0


Task = WindowTask | ProductTask


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Attributes:
        seconds: Wall-clock time of the worker.
        failure: Why a window could not be computed; empty where it could.
        record: What became of the scene, from a `ProductTask`.
        worker: Which process it was, e.g. `host:1234`.
    """

    seconds: float
    failure: str = ""
    record: SceneRecord | None = None
    worker: str = ""


def is_whole(scene: PlannedScene) -> bool:
    """Whether a scene is computed and written as one task: it has one window, which need not be kept."""
    return len(scene.windows) == 1

"""Which task comes next: scenes in order, their windows in order, and a product as soon as its windows are there."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pipelines.bulk.records import PlannedScene
from pipelines.bulk.work.tasks import Outcome, ProductTask, SceneTask, WindowTask, is_whole


@dataclass(frozen=True)
class KnownWindows:
    """Windows of a scene that an interrupted run left.

    Attributes:
        computed: Keys of those that are kept.
        failed: Those that failed, by key, with the reason.
    """

    computed: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)


def _nothing(scene: PlannedScene) -> KnownWindows:
    return KnownWindows()


def _unheard(scene: PlannedScene, num_done: int) -> None:
    pass


@dataclass
class _Open:
    """A scene whose windows are being computed."""

    scene: PlannedScene
    missing: set[str]
    failed: dict[str, str]
    compute_s: float = 0.0


class Schedule:
    """Hands out tasks and takes back what came of them; knows no worker.

    Products go first, so that windows are kept for as few scenes as possible; then windows of scenes in order. A task
    whose worker died is handed out again, a few times.

    Args:
        scenes: Those that are to be done, in order.
        known: Tells what is there already of a scene of several windows; asked when the scene is begun.
        max_attempts: How often one task is handed out while workers die over it.
        begun: Told of each scene that is begun, and how many of its windows are there.
        keeps_windows: Whether windows are computed by themselves; otherwise a scene is one task.
    """

    def __init__(
        self,
        scenes: Iterable[PlannedScene],
        known: Callable[[PlannedScene], KnownWindows] = _nothing,
        max_attempts: int = 3,
        begun: Callable[[PlannedScene, int], None] = _unheard,
        keeps_windows: bool = True,
    ) -> None:
        self._waiting = deque(scenes)
        self._known = known
        self._begun = begun
        self._max_attempts = max_attempts
        self._keeps_windows = keeps_windows
        self._open: dict[str, _Open] = {}
        self._products: deque[ProductTask] = deque()
        self._windows: deque[WindowTask] = deque()
        self._deaths: dict[tuple[str, str], int] = {}
        self._num_running = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing is left and nothing is running."""
        return not (self._waiting or self._open or self._products or self._num_running)

    def next(self) -> SceneTask | None:
        """The next task; None where there is none until a running one has ended."""
        while self._waiting and not self._products and not self._windows:
            self._start(self._waiting.popleft())
        ready = self._products or self._windows
        if not ready:
            return None
        self._num_running += 1
        return ready.popleft()

    def ended(self, task: SceneTask, outcome: Outcome) -> None:
        """Take back a task that was done."""
        self._num_running -= 1
        if isinstance(task, ProductTask):
            return
        self._window_ended(task, outcome.failure, outcome.seconds)

    def died(self, task: SceneTask, reason: str) -> Outcome | None:
        """Take back a task whose worker died.

        Returns:
            None where it will be handed out again; else what to hold of a product that nobody could write.
        """
        key = (task.scene.name, task.window if isinstance(task, WindowTask) else "")
        self._deaths[key] = self._deaths.get(key, 0) + 1
        self._num_running -= 1
        if self._deaths[key] < self._max_attempts:
            if isinstance(task, ProductTask):
                self._products.appendleft(task)
            else:
                self._windows.appendleft(task)
            return None
        told = f"{self._deaths[key]} workers died over it, the last: {reason}"
        if isinstance(task, WindowTask):
            self._window_ended(task, told, 0.0)
        return Outcome(0.0, told)

    def _start(self, scene: PlannedScene) -> None:
        if is_whole(scene, keeps_windows=self._keeps_windows):
            self._begun(scene, 0)
            self._products.append(ProductTask(scene))
            return
        known = self._known(scene)
        failed = {key: reason for key, reason in known.failed.items() if key in scene.windows}
        missing = [key for key in scene.windows if key not in known.computed and key not in failed]
        self._begun(scene, len(scene.windows) - len(missing))
        self._open[scene.name] = _Open(scene, set(missing), failed)
        self._windows.extend(WindowTask(scene, key) for key in missing)
        self._finish_if_complete(scene.name)

    def _window_ended(self, task: WindowTask, failure: str, seconds: float) -> None:
        scene = self._open[task.scene.name]
        scene.missing.discard(task.window)
        scene.compute_s += seconds
        if failure:
            scene.failed[task.window] = failure
        self._finish_if_complete(task.scene.name)

    def _finish_if_complete(self, name: str) -> None:
        scene = self._open[name]
        if not scene.missing:
            del self._open[name]
            self._products.append(ProductTask(scene.scene, tuple(sorted(scene.failed.items())), scene.compute_s))

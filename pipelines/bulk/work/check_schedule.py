"""Which scenes of a finished run are checked together, and what comes of those over which workers die."""

from collections import deque
from collections.abc import Iterator, Sequence

from pipelines.bulk.commits.verify_product import SceneToCheck
from pipelines.bulk.work.tasks import CheckTask, Outcome

_MOST_SCENES = 64  # of a task: handing one out takes the driver half a millisecond
_ENOUGH_BYTES = 256 << 20
_TASKS_A_WORKER = 4  # at least, so that all of them end at about the same time


class CheckSchedule:
    """Hands out checks and takes back what came of them; an `Agenda`.

    Where a worker dies over some scenes, each is tried by itself, a few times: the others come to no harm.

    Args:
        scenes: All that are to be checked.
        num_workers: That do it.
        max_attempts: How often one scene is handed out by itself while workers die over it.
    """

    def __init__(self, scenes: Sequence[SceneToCheck], num_workers: int, max_attempts: int = 3) -> None:
        most = max(1, min(_MOST_SCENES, len(scenes) // (_TASKS_A_WORKER * max(1, num_workers))))
        self._waiting = deque(_in_parts(scenes, most))
        self._max_attempts = max_attempts
        self._deaths: dict[str, int] = {}
        self._num_running = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing is left and nothing is running."""
        return not (self._waiting or self._num_running)

    def next(self) -> CheckTask | None:
        """The next task; None where there is none until a running one has ended."""
        if not self._waiting:
            return None
        self._num_running += 1
        return self._waiting.popleft()

    def ended(self, task: CheckTask, outcome: Outcome) -> None:
        """Take back a task that was done."""
        self._num_running -= 1

    def died(self, task: CheckTask, reason: str) -> Outcome | None:
        """Take back a task whose worker died.

        Returns:
            None where its scenes will be handed out again; else what to hold of one that nobody could check.
        """
        self._num_running -= 1
        if len(task.scenes) > 1:
            self._waiting.extendleft(CheckTask((scene,)) for scene in reversed(task.scenes))
            return None
        name = task.scenes[0].name
        self._deaths[name] = self._deaths.get(name, 0) + 1
        if self._deaths[name] < self._max_attempts:
            self._waiting.appendleft(task)
            return None
        told = f"{self._deaths[name]} workers died over it, the last: {reason}"
        return Outcome(0.0, told, found=((name, (f"It could not be checked: {told}.",)),))


def _in_parts(scenes: Sequence[SceneToCheck], most: int) -> Iterator[CheckTask]:
    part: list[SceneToCheck] = []
    for scene in scenes:
        part.append(scene)
        if len(part) >= most or sum(each.num_bytes for each in part) >= _ENOUGH_BYTES:
            yield CheckTask(tuple(part))
            part = []
    if part:
        yield CheckTask(tuple(part))

"""Doing the tasks of a schedule: one after the other in this process, or by Ray actors that may die."""

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pipelines.bulk.config import BulkWorkerConfig
from pipelines.bulk.work.schedule import Schedule
from pipelines.bulk.work.tasks import Outcome, Task

if TYPE_CHECKING:
    from ray.actor import ActorHandle

log = logging.getLogger(__name__)

Work = Callable[[Task], Outcome]
"""Does one task. Raises only what ends the whole run, such as an output that cannot be written."""

Ended = tuple[Task, Outcome]

_POLL_S = 1.0  # at least as often the driver comes back, to tell how things stand


def run_here(schedule: Schedule, work: Work) -> Iterator[Ended | None]:
    """Do all tasks in this process.

    Yields:
        What ended, and what came of it.
    """
    while (task := schedule.next()) is not None:
        outcome = work(task)
        schedule.ended(task, outcome)
        yield task, outcome


def run_on_ray(
    schedule: Schedule, make_work: Callable[[], Work], num_workers: int, worker: BulkWorkerConfig
) -> Iterator[Ended | None]:
    """Do all tasks by actors, each with one task at a time.

    For an actor that dies, alone or with its node, another is started wherever there is room, and its task is handed to
    the next that is free. Actors for which there is no room yet hold nothing up.

    Args:
        schedule: What is to be done.
        make_work: Makes what does a task, once in each actor.
        num_workers: Actors.
        worker: What each reserves.

    Yields:
        What ended, and what came of it; now and then None while nothing does.

    Raises:
        RssrError: What an actor raised, of the same class and text.
    """
    crew = _Crew(make_work, num_workers, worker)
    try:
        while not schedule.is_done:
            crew.hand_out(schedule)
            ended: list[Ended | None] = [*crew.gather(schedule)]
            yield from ended or [None]
    finally:
        crew.dismiss()


class _Crew:
    """Actors, and what each is about."""

    def __init__(self, make_work: Callable[[], Work], num_workers: int, worker: BulkWorkerConfig) -> None:
        import ray

        self._make_work = make_work
        self._actor_class = ray.remote(SceneActor).options(
            num_cpus=worker.num_cpus, num_gpus=worker.num_gpus, max_restarts=0, max_task_retries=0
        )
        self._free: list[ActorHandle[SceneActor]] = []
        self._busy: dict[Any, tuple[Task | None, ActorHandle[SceneActor]]] = {}  # no task: it is being started
        for _ in range(num_workers):
            self._start()

    def hand_out(self, schedule: Schedule) -> None:
        """Give every free actor a task, as far as there are any."""
        while self._free:
            task = schedule.next()
            if task is None:
                return
            actor = self._free.pop()
            self._busy[actor.do.remote(task)] = (task, actor)

    def gather(self, schedule: Schedule) -> Iterator[Ended]:
        """What ended since, after waiting a little where nothing has."""
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        done, _ = ray.wait(list(self._busy), timeout=_POLL_S)
        for reference in done:
            task, actor = self._busy.pop(reference)
            try:
                outcome = ray.get(reference)
            except RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else error from None
            except RayActorError as error:
                self._start()
                if task is not None:
                    log.warning("A worker died over %s; another is started.", task.scene.name)
                    given_up = schedule.died(task, _in_words(error))
                    if given_up is not None:
                        yield task, given_up
                continue
            self._free.append(actor)
            if task is not None:
                schedule.ended(task, outcome)
                yield task, outcome

    def dismiss(self) -> None:
        """End all actors."""
        import ray

        for actor in (*self._free, *(actor for _, actor in self._busy.values())):
            ray.kill(actor)

    def _start(self) -> None:
        actor = self._actor_class.remote(self._make_work)
        self._busy[actor.answer.remote()] = (None, actor)


class SceneActor:
    """The actor: makes its work when the first task comes, so that a model which cannot be loaded fails a task."""

    def __init__(self, make_work: Callable[[], Work]) -> None:
        self._make_work = make_work
        self._work: Work | None = None

    def answer(self) -> None:
        """It is there."""

    def do(self, task: Task) -> Outcome:
        """One task."""
        self._work = self._work or self._make_work()
        return self._work(task)


def _in_words(error: Exception) -> str:
    return " ".join(str(error).split()).partition(". ")[0][:200].rstrip(".")

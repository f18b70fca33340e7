"""Doing the tasks of a schedule: one after the other in this process, or by Ray actors that may die."""

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pipelines.bulk.config import BulkWorkerConfig
from pipelines.bulk.schedule import Schedule
from pipelines.bulk.tasks import Outcome, Task

if TYPE_CHECKING:
    from ray.actor import ActorHandle

log = logging.getLogger(__name__)

Work = Callable[[Task], Outcome]
"""Does one task. Raises only what ends the whole run, such as an output that cannot be written."""

Ended = tuple[Task, Outcome]

_POLL_S = 1.0  # at least as often the driver comes back, to tell how things stand
_RESTARTS = -1  # without end: each task has a bound of its own


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

    An actor that dies, alone or with its node, is started again by Ray wherever there is room, and its task is handed
    to the next that is free. Actors for which there is no room yet wait without holding anything up.

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
    import ray
    from ray.exceptions import RayActorError, RayTaskError

    actor_class = ray.remote(SceneActor)
    actors = [
        actor_class.options(
            num_cpus=worker.num_cpus, num_gpus=worker.num_gpus, max_restarts=_RESTARTS, max_task_retries=0
        ).remote(make_work)
        for _ in range(num_workers)
    ]
    running: dict[Any, tuple[Task, ActorHandle[SceneActor]]] = {}
    free = list(actors)
    try:
        while not schedule.is_done:
            _hand_out(schedule, free, running)
            done, _ = ray.wait(list(running), timeout=_POLL_S)
            if not done:
                yield None
            for reference in done:
                task, actor = running.pop(reference)
                free.append(actor)
                try:
                    outcome = ray.get(reference)
                except RayTaskError as error:
                    raise error.cause if isinstance(error.cause, Exception) else error from None
                except RayActorError as error:
                    log.warning("A worker died over %s; it is started again.", task.scene.name)
                    final = schedule.died(task, _in_words(error))
                    if final is not None:
                        yield task, final
                    continue
                schedule.ended(task, outcome)
                yield task, outcome
    finally:
        for actor in actors:
            ray.kill(actor)


def _hand_out(schedule: Schedule, free: "list[ActorHandle[SceneActor]]", running: dict[Any, Any]) -> None:
    while free:
        task = schedule.next()
        if task is None:
            return
        actor = free.pop()
        running[actor.do.remote(task)] = (task, actor)


class SceneActor:
    """The actor: makes its work when the first task comes, so that a model which cannot be loaded fails a task."""

    def __init__(self, make_work: Callable[[], Work]) -> None:
        self._make_work = make_work
        self._work: Work | None = None

    def do(self, task: Task) -> Outcome:
        """One task."""
        self._work = self._work or self._make_work()
        return self._work(task)


def _in_words(error: Exception) -> str:
    return " ".join(str(error).split()).partition(". ")[0][:200].rstrip(".")

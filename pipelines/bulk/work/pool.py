"""Doing the tasks of an agenda: one after the other in this process, or by Ray actors that may die."""

import logging
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from pipelines.bulk.config import BulkWorkerConfig
from pipelines.bulk.work.tasks import Outcome, Task

if TYPE_CHECKING:
    from ray.actor import ActorHandle

log = logging.getLogger(__name__)

Work = Callable[[Task], Outcome]
"""Does one task. Raises only what ends the whole run, such as an output that cannot be written."""

TaskT = TypeVar("TaskT", bound=Task)

_POLL_S = 1.0  # at least as often the driver comes back, to tell how things stand


class Agenda(Protocol[TaskT]):
    """What is to be done, task by task; knows no worker."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left and nothing is running."""
        ...

    def next(self) -> TaskT | None:
        """The next task; None where there is none until a running one has ended."""
        ...

    def ended(self, task: TaskT, outcome: Outcome) -> None:
        """Take back a task that was done."""
        ...

    def died(self, task: TaskT, reason: str) -> Outcome | None:
        """Take back a task whose worker died; returns what to hold of it where it is given up."""
        ...


def run_here(agenda: Agenda[TaskT], work: Work) -> Iterator[tuple[TaskT, Outcome] | None]:
    """Do all tasks in this process.

    Yields:
        What ended, and what came of it.
    """
    while (task := agenda.next()) is not None:
        outcome = work(task)
        agenda.ended(task, outcome)
        yield task, outcome


class Crew:
    """Actors, each with one task at a time; they stay for one agenda after another, until the `with` block ends.

    For an actor that dies, alone or with its node, another is started wherever there is room, and its task is handed to
    the next that is free. Actors for which there is no room yet hold nothing up.

    Args:
        make_work: Makes what does a task, once in each actor.
        num_workers: Actors, which are started for the first task; 0 does all of it in this process.
        worker: What each reserves.
    """

    def __init__(self, make_work: Callable[[], Work], num_workers: int, worker: BulkWorkerConfig) -> None:
        self._make_work = make_work
        self._num_workers = num_workers
        self._worker = worker
        self._here: Work | None = None
        self._has_begun = False
        self._free: list[ActorHandle[SceneActor]] = []
        self._busy: dict[Any, tuple[Any, ActorHandle[SceneActor]]] = {}  # no task: it is being started

    def run(self, agenda: Agenda[TaskT]) -> Iterator[tuple[TaskT, Outcome] | None]:
        """Do all tasks.

        Yields:
            What ended, and what came of it; now and then None while nothing does.

        Raises:
            RssrError: What a worker raised, of the same class and text.
        """
        if self._num_workers == 0:
            self._here = self._here or self._make_work()
            yield from run_here(agenda, self._here)
            return
        while not agenda.is_done:
            if not self._has_begun:
                self._begin()
            self._hand_out(agenda)
            ended: list[tuple[TaskT, Outcome] | None] = [*self._gather(agenda)]
            yield from ended or [None]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all actors."""
        actors = [*self._free, *(actor for _, actor in self._busy.values())]
        if not actors:
            return
        import ray

        for actor in actors:
            ray.kill(actor)

    def _begin(self) -> None:
        self._has_begun = True
        for _ in range(self._num_workers):
            self._start()

    def _hand_out(self, agenda: Agenda[TaskT]) -> None:
        """Give every free actor a task, as far as there are any."""
        while self._free:
            task = agenda.next()
            if task is None:
                return
            actor = self._free.pop()
            self._busy[actor.do.remote(task)] = (task, actor)

    def _gather(self, agenda: Agenda[TaskT]) -> Iterator[tuple[TaskT, Outcome]]:
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
                    log.warning("A worker died over %s; another is started.", task.about)
                    given_up = agenda.died(task, _in_words(error))
                    if given_up is not None:
                        yield task, given_up
                continue
            self._free.append(actor)
            if task is not None:
                agenda.ended(task, outcome)
                yield task, outcome

    def _start(self) -> None:
        import ray

        actor_class = ray.remote(SceneActor).options(
            num_cpus=self._worker.num_cpus, num_gpus=self._worker.num_gpus, max_restarts=0, max_task_retries=0
        )
        actor = actor_class.remote(self._make_work)
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

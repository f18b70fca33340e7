"""Progress of training workers, shown where the job was started."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.progress import Progress
from rssr.errors import RssrError

if TYPE_CHECKING:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

_INTERVAL_S = 1.0

# A handle of `_Board` as Ray makes it; calls go through `.remote`.
BoardHandle = Any


class _Board:
    """Holds the newest step of a run; lives in the cluster, written by rank 0 and read by the driver."""

    def __init__(self) -> None:
        self._newest: tuple[int, str] = (0, "")
        self._failure: RssrError | None = None

    def fail(self, error: RssrError) -> None:
        """Take what ended a worker; the first one counts."""
        self._failure = self._failure or error

    def failure(self) -> RssrError | None:
        """What ended a worker, if anything did."""
        return self._failure

    def put(self, done: int, note: str) -> None:
        """Take the newest state."""
        self._newest = (done, note)

    def get(self) -> tuple[int, str]:
        """Steps done, and a few words."""
        return self._newest


def in_words(terms: Mapping[str, float]) -> str:
    """The losses of a step, e.g. `teacher 0.1234`."""
    losses = {name.removeprefix("loss/"): value for name, value in terms.items() if name.startswith("loss/")}
    return ", ".join(f"{name} {value:.4g}" for name, value in losses.items())


def step_listener(progress: Progress) -> Callable[[int, Mapping[str, float]], None]:
    """Show the steps of a run in this process."""
    return lambda step, terms: progress.update(step + 1, note=in_words(terms))


def board_listener(board: BoardHandle) -> Callable[[int, Mapping[str, float]], None]:
    """Send the steps of a run to a board, at most once a second."""
    last = 0.0

    def listen(step: int, terms: Mapping[str, float]) -> None:
        nonlocal last
        if time.monotonic() - last >= _INTERVAL_S:
            last = time.monotonic()
            board.put.remote(step + 1, in_words(terms))

    return listen


def report_failure(board: BoardHandle, error: RssrError) -> None:
    """Tell the driver what ended this worker."""
    import ray

    ray.get(board.fail.remote(error))


def has_failed(board: BoardHandle) -> bool:
    """Whether something has ended a worker for good."""
    import ray

    return ray.get(board.failure.remote()) is not None


def raise_failure(board: BoardHandle) -> None:
    """Raise in the driver what ended a worker, if anything did."""
    import ray

    error: RssrError | None = ray.get(board.failure.remote())
    if error is not None:
        raise error


def on_this_node() -> "NodeAffinitySchedulingStrategy":
    """Where an actor goes that must live as long as the driver: what lies on other nodes dies with them."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


@contextmanager
def shown_board(progress: Progress) -> Iterator[BoardHandle]:
    """A board whose state is shown while the block runs."""
    import ray

    board = ray.remote(num_cpus=0)(_Board).options(scheduling_strategy=on_this_node()).remote()
    stop = threading.Event()

    def show() -> None:
        while not stop.wait(_INTERVAL_S):
            try:
                done, note = ray.get(board.get.remote(), timeout=10)
            except Exception:
                continue  # progress is a courtesy: a busy or dying cluster reports its own errors
            progress.update(done, note=note)

    thread = threading.Thread(target=show, name="progress", daemon=True)
    thread.start()
    try:
        yield board
    finally:
        stop.set()
        thread.join(timeout=15)
        ray.kill(board)

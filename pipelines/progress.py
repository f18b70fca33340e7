"""Progress of long work: a live bar on a terminal, plain lines otherwise."""

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

log = logging.getLogger(__name__)

_LINE_INTERVAL_S = 10.0
_LONGEST_NAME = 32  # of a part, beside its bar
_CONSOLE = Console(stderr=True)


class Progress:
    """Counts finished items of one piece of work.

    Args:
        label: What is being done.
        total: Items in all, where known.
    """

    def __init__(self, label: str, total: int | None = None) -> None:
        self._label = label
        self._total = total
        self._start: tuple[float, int] | None = None  # when the first count came, and what it was: work may be resumed
        self._last_line = time.monotonic()
        self._bar = _bar() if _CONSOLE.is_terminal else None
        self._task = self._bar.add_task(label, total=total, note="") if self._bar else None
        self._parts: dict[str, TaskID] = {}

    def update(self, done: int, total: int | None = None, note: str = "", rate: float | None = None) -> None:
        """Tell how many items are done.

        Args:
            done: Items finished so far.
            total: Items in all, where that became known.
            note: A few words, e.g. the current loss.
            rate: Items a second as they come now; None is their mean since the first call.
        """
        self._total = total or self._total
        if self._start is None:
            self._start = time.monotonic(), done
            if self._bar is not None and self._task is not None:
                self._bar.reset(self._task, completed=done, note=note)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=self._total, note=note)
        elif time.monotonic() - self._last_line >= _LINE_INTERVAL_S:
            self._last_line = time.monotonic()
            log.info("%s", self._line(done, note, self._mean_rate(done) if rate is None else rate))

    def show_parts(self, parts: Mapping[str, tuple[int, int]]) -> None:
        """Show a bar for each part that is being worked on, below the whole one; without a terminal nothing.

        Args:
            parts: Items finished and items in all, by name; parts that are no longer named go away.
        """
        if self._bar is None:
            return
        for name in self._parts.keys() - parts.keys():
            self._bar.remove_task(self._parts.pop(name))
        for name, (done, total) in parts.items():
            if name not in self._parts:
                short = name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
                self._parts[name] = self._bar.add_task(f"  {short}", total=total, note="")
            self._bar.update(self._parts[name], completed=done, total=total)

    def _mean_rate(self, done: int) -> float:
        start, first = self._start or (time.monotonic(), done)
        return (done - first) / max(time.monotonic() - start, 1e-9)

    def _line(self, done: int, note: str, rate: float) -> str:
        parts = [f"{self._label}: {done}" + (f" of {self._total}" if self._total else ""), f"{rate:.2g}/s"]
        if self._total and rate > 0:
            parts.append(f"{in_words((self._total - done) / rate)} left")
        return ", ".join(parts + ([note] if note else []))

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def configure_logging(debug: bool) -> None:
    """Send the project's log lines to standard error; other libraries' only from warnings on."""
    handler: logging.Handler
    if _CONSOLE.is_terminal:
        handler = RichHandler(console=_CONSOLE, show_path=False, log_time_format="%H:%M:%S", markup=False)
        handler.setFormatter(logging.Formatter("%(message)s"))  # time and level have columns of their own
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("rssr", "pipelines", "jobs"):
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.INFO)


def printable(name: str) -> str:
    """A file's name as text that any log can hold: on a local disk a name may be any bytes."""
    return name.encode("utf-8", "backslashreplace").decode()


def print_closing(where: Mapping[str, str], next_commands: Sequence[str]) -> None:
    """The last words of a job: where everything lies and what to type next."""
    width = max((len(name) for name in where), default=0)
    print("\nDone. Where everything lies:")  # plain: whoever copies a path or command gets it unbroken and unstyled
    for name, place in where.items():
        print(f"  {name:<{width}}  {place}")
    print("\nNext:")
    for command in next_commands:
        print(f"  {command}")


def in_words(seconds: float) -> str:
    """A duration in the units that matter, e.g. `95 s` or `2 h 5 min`."""
    if seconds < 600:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _bar() -> RichProgress:
    return RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=_CONSOLE,
    )

"""Progress of long work: a live bar on a terminal, plain lines otherwise."""

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

log = logging.getLogger(__name__)

_LINE_INTERVAL_S = 10.0
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
        self._start = time.monotonic()
        self._last_line = self._start
        self._bar = _bar() if _CONSOLE.is_terminal else None
        self._task = self._bar.add_task(label, total=total, note="") if self._bar else None

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        """Tell how many items are done.

        Args:
            done: Items finished so far.
            total: Items in all, where that became known.
            note: A few words, e.g. the current loss.
        """
        self._total = total or self._total
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=self._total, note=note)
        elif time.monotonic() - self._last_line >= _LINE_INTERVAL_S:
            self._last_line = time.monotonic()
            log.info("%s", self._line(done, note))

    def _line(self, done: int, note: str) -> str:
        rate = done / max(time.monotonic() - self._start, 1e-9)
        parts = [f"{self._label}: {done}" + (f" of {self._total}" if self._total else ""), f"{rate:.2g}/s"]
        if self._total and rate > 0:
            parts.append(f"{(self._total - done) / rate:.0f} s left")
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
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("rssr", "pipelines", "jobs"):
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.INFO)


def print_closing(where: Mapping[str, str], next_commands: Sequence[str]) -> None:
    """The last words of a job: where everything lies and what to type next."""
    console = Console()
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, place in where.items():
        table.add_row(name, place)
    console.print("\nDone. Where everything lies:", highlight=False)
    console.print(table, soft_wrap=True, highlight=False)
    console.print("\nNext:", highlight=False)
    for command in next_commands:
        console.print(f"  {command}", soft_wrap=True, highlight=False, markup=False)


def _bar() -> RichProgress:
    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=_CONSOLE,
    )

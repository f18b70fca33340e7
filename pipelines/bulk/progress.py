"""How far a bulk run is: overall and by scene, on the terminal, in the log, and in a file beside the ledger."""

import json
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from pipelines.bulk.records import PlannedScene, SceneRecord
from pipelines.bulk.result import OUTCOMES, Outcome
from pipelines.progress import Progress
from pipelines.timestamps import timestamp
from rssr.errors import RssrError

log = logging.getLogger(__name__)

PROGRESS_KEY = "_run/progress.json"
"""Where the status lies in the output."""

_STATUS_INTERVAL_S = 5.0
_RECENT_S = 60.0  # what "now" is, unless that holds too few windows
_FEWEST_RECENT = 8  # windows
_MOST_SHOWN = 6  # scenes
_MEGA = 1e6


@dataclass
class _Scene:
    """One that is being worked on."""

    num_done: int
    num_windows: int


class BulkProgress:
    """Counts windows and scenes of a run; use as a context. For one thread.

    A run tells `begin` of each scene, `advance` of each window that was computed, `finish` of each scene's record; and
    `refresh` while it waits, so that what is shown does not stand still.

    Args:
        planned: All scenes of the plan.
        records: Of those that were finished before.
        write_status: Writes the status file; called every few seconds at most. Where it fails, the run goes on.
        show_status: Shows the same elsewhere, and never fails.
    """

    def __init__(
        self,
        planned: Sequence[PlannedScene],
        records: Mapping[str, SceneRecord],
        write_status: Callable[[bytes], None] | None = None,
        show_status: Callable[[Mapping[str, Any]], None] = lambda status: None,
    ) -> None:
        self._planned = {scene.name: scene for scene in planned}
        self._outcomes: Counter[Outcome] = Counter(
            "refused" if scene.refusal else records[scene.name].state
            for scene in planned
            if scene.refusal or scene.name in records
        )
        self._finished = {scene.name for scene in planned if scene.refusal or scene.name in records}
        self._num_failed_windows = sum(len(record.failed_windows) for record in records.values())
        self._num_windows = sum(len(scene.windows) for scene in planned)
        self._num_done = sum(len(self._planned[name].windows) for name in self._finished)
        self._current: dict[str, _Scene] = {}
        self._computed = (0, 0.0)  # windows and megapixels of this process
        self._recent = deque([(time.monotonic(), *self._computed)])
        self._write_status, self._show_status = write_status, show_status
        self._last_status = -_STATUS_INTERVAL_S + time.monotonic()
        self._shown = Progress("windows", total=self._num_windows)

    def begin(self, name: str, num_done: int = 0) -> None:
        """A scene is being worked on, or is begun anew.

        Args:
            name: Of the scene.
            num_done: Windows of it that lay there from an earlier attempt.
        """
        before = self._current.get(name)
        self._num_done += num_done - (before.num_done if before else 0)
        self._current[name] = _Scene(num_done, len(self._planned[name].windows))
        self.refresh()

    def advance(self, name: str) -> None:
        """One more window of a scene was computed, or given up."""
        scene, planned = self._current[name], self._planned[name]
        scene.num_done += 1
        self._num_done += 1
        windows, megapixels = self._computed
        area = planned.sr_size[0] * planned.sr_size[1] / _MEGA
        self._computed = (windows + 1, megapixels + area / scene.num_windows)
        self._recent.append((time.monotonic(), *self._computed))
        self.refresh()

    def finish(self, record: SceneRecord) -> None:
        """A scene has its entry in the ledger."""
        scene = self._current.pop(record.name, _Scene(0, len(self._planned[record.name].windows)))
        self._num_done += scene.num_windows - scene.num_done  # those of a scene that failed are not computed any more
        self._outcomes[record.state] += 1
        self._num_failed_windows += len(record.failed_windows)
        self._finished.add(record.name)
        self.refresh()

    def refresh(self) -> None:
        """Show and write how things are."""
        rate = self._rates()[0]
        self._shown.update(self._num_done, self._num_windows, self._note(), rate or None)
        shown = list(self._current.items())[:_MOST_SHOWN]
        self._shown.show_parts({name: (scene.num_done, scene.num_windows) for name, scene in shown})
        if time.monotonic() - self._last_status >= _STATUS_INTERVAL_S:
            self._save()

    def snapshot(self) -> dict[str, Any]:
        """How things are, in plain values: counts, rates a second over about the last minute, and the scenes at work.

        `eta_s` is null while nothing is computed.
        """
        windows_per_s, mpx_per_s = self._rates()
        left = self._num_windows - self._num_done
        return {
            "at": timestamp(),
            "windows": {"done": self._num_done, "total": self._num_windows},
            "scenes": {
                **{outcome: self._outcomes[outcome] for outcome in OUTCOMES},
                "waiting": len(self._planned) - len(self._finished),
                "total": len(self._planned),
            },
            "failed_windows": self._num_failed_windows,
            "windows_per_s": round(windows_per_s, 4),
            "mpx_per_s": round(mpx_per_s, 4),
            "eta_s": 0.0 if left == 0 else round(left / windows_per_s, 1) if windows_per_s > 0 else None,
            "current": [
                {
                    "name": name,
                    "windows": {"done": scene.num_done, "total": scene.num_windows},
                    "share": round(scene.num_done / max(scene.num_windows, 1), 4),
                }
                for name, scene in self._current.items()
            ],
        }

    def _rates(self) -> tuple[float, float]:
        """Windows and megapixels a second as they come now: until now, so that they sink where none comes."""
        now = time.monotonic()
        while len(self._recent) > _FEWEST_RECENT and self._recent[1][0] < now - _RECENT_S:
            self._recent.popleft()
        start, windows, megapixels = self._recent[0]
        seconds = max(now - start, 1e-9)
        if self._computed[0] == windows:
            return 0.0, 0.0
        return (self._computed[0] - windows) / seconds, (self._computed[1] - megapixels) / seconds

    def _note(self) -> str:
        told = [f"{len(self._finished):,} of {len(self._planned):,} scenes", f"{self._rates()[1]:.2g} Mpx/s"]
        failed = self._outcomes["failed"] + self._outcomes["refused"]
        told += [f"{failed:,} failed"] if failed else []
        told += [f"{self._num_failed_windows:,} windows failed"] if self._num_failed_windows else []
        return ", ".join(told)

    def _save(self) -> None:
        self._last_status = time.monotonic()
        status = self.snapshot()
        self._show_status(status)
        if self._write_status is None:
            return
        try:
            self._write_status(json.dumps(status, ensure_ascii=False, indent=1).encode() + b"\n")
        except RssrError as error:
            log.warning("The status file is not written any more: %s", error)
            self._write_status = None

    def __enter__(self) -> Self:
        self._shown.__enter__()
        self.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._save()
        self._shown.__exit__(kind, error, trace)

"""How far an archive's run is, from what lies in its output."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.bulk.commits.ledger import Ledger
from pipelines.bulk.planning.plan_files import read_plan
from pipelines.bulk.progress import PROGRESS_KEY
from pipelines.bulk.records import PlannedScene, SceneRecord
from pipelines.bulk.result import OUTCOMES, SceneResult
from pipelines.serving.archives.records import Counts
from pipelines.storage import ObjectMissing, Store


@dataclass(frozen=True)
class LiveProgress:
    """A run that is under way.

    Attributes:
        counts: Of scenes and windows.
        mpx_per_s: Millions of SR pixels a second as they come now; None where none comes.
        eta_s: Seconds until the last window is computed; None where nobody knows.
    """

    counts: Counts
    mpx_per_s: float | None = None
    eta_s: float | None = None


def live_progress(output: Store, since: str) -> LiveProgress | None:
    """What the run in an output tells of itself; None where it has told nothing.

    Args:
        output: Of the run.
        since: When its command began: what an earlier one told does not count.

    Raises:
        StorageError: The store fails.
    """
    try:
        told = json.loads(output.read_bytes(PROGRESS_KEY))
        if datetime.fromisoformat(told["at"]) < datetime.fromisoformat(since):
            return None
        return _progress(told)
    except (ObjectMissing, ValueError, TypeError, KeyError):
        return None


def final_counts(output: Store) -> Counts:
    """Numbers of a run, from its plan and its ledger.

    Raises:
        DataError: The plan is damaged.
        StorageError: The store fails.
    """
    planned = read_plan(output)
    return _counts(planned, Ledger(output).read_all())


def _counts(planned: list[PlannedScene], records: Mapping[str, SceneRecord]) -> Counts:
    results = [SceneResult(scene, records.get(scene.name)) for scene in planned]
    outcomes = Counter(result.outcome for result in results)
    num_windows = sum(len(scene.windows) for scene in planned)
    num_left = sum(len(result.planned.windows) for result in results if result.outcome == "waiting")
    num_failed = sum(len(record.failed_windows) for record in records.values())
    return Counts(
        {**{outcome: outcomes[outcome] for outcome in OUTCOMES}, "total": len(planned)},
        {"total": num_windows, "done": num_windows - num_left, "failed": num_failed},
    )


def _progress(told: Mapping[str, Any]) -> LiveProgress:
    scenes = {name: int(number) for name, number in told["scenes"].items()}
    windows = {name: int(told["windows"][name]) for name in ("total", "done")}
    counts = Counts(scenes, {**windows, "failed": int(told["failed_windows"])})
    rate, eta = told["mpx_per_s"], told["eta_s"]
    return LiveProgress(counts, float(rate) or None, None if eta is None else float(eta))

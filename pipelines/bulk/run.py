"""The bulk job as one sentence: scenes, plan, windows, products, proof, report."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pipelines.bulk.checks import check_config
from pipelines.bulk.config import BulkConfig
from pipelines.bulk.console import result_text
from pipelines.bulk.inputs import find_scenes
from pipelines.bulk.ledger import Ledger
from pipelines.bulk.lease import driver_lease
from pipelines.bulk.models import ModelSource, resolve_model
from pipelines.bulk.planning import open_run, plan_run
from pipelines.bulk.pool import Ended, Work, run_here, run_on_ray
from pipelines.bulk.progress import PROGRESS_KEY, BulkProgress
from pipelines.bulk.records import LEDGER_TABLE, FAILURES_KEY, REPORT_KEY, PlannedScene, RunIdentity, SceneRecord
from pipelines.bulk.report import write_report
from pipelines.bulk.result import BulkResult
from pipelines.bulk.sample import SAMPLE, sample_scenes
from pipelines.bulk.schedule import KnownWindows, Schedule
from pipelines.bulk.tasks import ProductTask
from pipelines.bulk.verify import Verification, delete_work, verify_run
from pipelines.bulk.work import BulkTask, SceneWorker
from pipelines.bulk.work_objects import WindowObjects
from pipelines.cluster import ray_session, require_room_on_cluster
from pipelines.progress import Progress, print_closing
from pipelines.storage import StorageSettings, Store, open_store
from rssr.errors import ExitCode

log = logging.getLogger(__name__)

_NEEDS_A_LOOK = ("failed", "partial", "marked")


@dataclass(frozen=True)
class OpenBulk:
    """A run that is planned.

    Attributes:
        config: Of the command.
        output: Where products go.
        identity: Of the run.
        model: Where the model comes from.
        planned: All scenes, in order.
    """

    config: BulkConfig
    output: Store
    settings: StorageSettings
    identity: RunIdentity
    model: ModelSource
    planned: Sequence[PlannedScene]

    @property
    def ledger(self) -> Ledger:
        """What became of scenes."""
        return Ledger(self.output)


def run_bulk(config: BulkConfig) -> ExitCode:
    """Run the job: what an interrupted run of the same configuration has done is not done again.

    Raises:
        RssrError: Bad input, told before anything is computed where it can be; or storage that fails.
    """
    check_config(config)
    started_at = _now()
    settings = StorageSettings.from_environment()
    output = open_store(config.output.uri, settings)
    with driver_lease(output) as lease:
        if config.fresh:
            forget_run(output)
        run = _open(config, output, settings)
        if not config.verify_only:
            _work_through(run, lease)
        result = _conclude(run, started_at)
    _tell(result, run)
    return _status(result)

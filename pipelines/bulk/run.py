"""The bulk job as one sentence: scenes, plan, windows, products, proof, report."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from pipelines.bulk.checks import check_config
from pipelines.bulk.commits.commit import Committer
from pipelines.bulk.commits.ledger import Ledger
from pipelines.bulk.commits.retrying import forget_failures
from pipelines.bulk.commits.verify import Check, Found
from pipelines.bulk.commits.verify_product import SceneToCheck
from pipelines.bulk.conclusion import Conclusion, conclude
from pipelines.bulk.config import BulkConfig
from pipelines.bulk.console import result_text
from pipelines.bulk.planning.plan_files import read_plan
from pipelines.bulk.planning.prepare import prepare_run
from pipelines.bulk.planning.sample import with_sample
from pipelines.bulk.progress import PROGRESS_KEY, BulkProgress
from pipelines.bulk.records import DRIVER_LEASE, PlannedScene, SceneRecord
from pipelines.bulk.work.check_schedule import CheckSchedule
from pipelines.bulk.work.pool import Agenda, Crew
from pipelines.bulk.work.schedule import KnownWindows, Schedule
from pipelines.bulk.work.tasks import ProductTask, SceneTask, WindowTask
from pipelines.bulk.work.work_objects import WindowObjects
from pipelines.bulk.work.worker import BulkTask, BulkWorker, nothing_written
from pipelines.cluster import ray_session, require_room_on_cluster
from pipelines.gauges import BulkGauges
from pipelines.leases.lease import Lease
from pipelines.progress import Progress, print_closing
from pipelines.storage import StorageSettings, Store, open_store
from rssr.errors import ExitCode

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenBulk:
    """A run that is planned.

    Attributes:
        task: What workers know of it.
        planned: All its scenes, in order.
        records: What became of those that were finished before.
        lease: Held by this process while it runs.
    """

    task: BulkTask
    planned: Sequence[PlannedScene]
    records: dict[str, SceneRecord]
    lease: Lease

    @property
    def todo(self) -> list[PlannedScene]:
        """Scenes that can be run and are not finished."""
        return [scene for scene in self.planned if not scene.refusal and scene.name not in self.records]


def run_bulk(config: BulkConfig) -> ExitCode:
    """Run the job: what an interrupted run of the same configuration has done is not done again.

    Raises:
        RssrError: Bad input, told before anything is computed where it can be; or storage that fails.
    """
    check_config(config)
    started_at = datetime.now(UTC)
    settings = replace(StorageSettings.from_environment(), places=config.allowed_places())
    output = open_store(config.output.uri, settings)
    with Lease(output, DRIVER_LEASE, "jobs/bulk.py") as lease:
        if not config.verify_only:
            output.delete_unfinished()
            log.info("%s", Committer(output, lease).describe())
        with ray_session(config.ray, needed=config.num_workers > 0):
            require_room_on_cluster(config.ray, config.num_workers, config.worker.num_cpus, config.worker.num_gpus)
            run = None if config.verify_only else _open(with_sample(config), output, settings, lease)
            make_work = partial(BulkWorker, output, None if run is None else run.task)
            with Crew(make_work, config.num_workers, config.worker) as crew:
                if run is not None:
                    _work_through(run, crew)
                planned = read_plan(output) if run is None else list(run.planned)
                conclusion = conclude(config, output, planned, started_at, _check_by(crew, config))
    _tell(conclusion)
    return conclusion.status


def _check_by(crew: Crew, config: BulkConfig) -> Check | None:
    """Products are checked by the workers, as far as there are any."""
    if config.num_workers == 0:
        return None

    def check(scenes: Sequence[SceneToCheck]) -> Iterator[Found]:
        agenda = CheckSchedule(scenes, config.num_workers, config.worker.max_attempts)
        for ended in crew.run(agenda):
            yield from () if ended is None else ended[1].found

    return check


def _open(config: BulkConfig, output: Store, settings: StorageSettings, lease: Lease) -> OpenBulk:
    with Progress("scenes planned") as progress:
        prepared = prepare_run(config, output, settings, datetime.now(UTC), progress.update)
    task = BulkTask(config, prepared.identity, prepared.model, output, settings, lease.witness())
    records = Ledger(output).read_all()
    again = set(records) if config.retry_failed else set(prepared.plan.added)
    records = forget_failures(output, records, again)
    for scene in prepared.plan.refused:
        log.warning("%s is left out: %s", scene.name, scene.refusal)
        if scene.name not in records and scene.name not in prepared.plan.changed:
            records[scene.name] = Ledger(output).record(nothing_written(scene, scene.refusal))
    return OpenBulk(task, prepared.plan.scenes, records, lease)


def _work_through(run: OpenBulk, crew: Crew) -> None:
    """Compute what is missing, and write every product that is not there."""
    todo = run.todo
    num_there = sum(scene.name in run.records for scene in run.planned)
    if num_there:
        log.info("%d of %d scenes are finished already", num_there, len(run.planned))
    if not todo:
        return
    status = partial(run.task.output.write_bytes, PROGRESS_KEY)
    gauges = BulkGauges(run.task.output.uri)
    with BulkProgress(run.planned, run.records, status, gauges.show) as progress:
        windows = WindowObjects(run.task.output)
        schedule: Agenda[SceneTask] = Schedule(
            todo,
            partial(_known_windows, windows),
            run.task.config.worker.max_attempts,
            lambda scene, num_done: progress.begin(scene.name, num_done),
            run.task.config.keeps_windows,
        )
        for ended in crew.run(schedule):
            run.lease.require_held()
            if ended is None:
                progress.refresh()
                continue
            task, outcome = ended
            if isinstance(task, WindowTask):
                if outcome.failure:
                    log.warning("Window %s of %s failed: %s", task.window, task.scene.name, outcome.failure)
                progress.advance(task.scene.name)
            else:
                record = outcome.record or _given_up(run.task.output, task, outcome.failure)
                if record.reason:
                    log.warning("%s: %s: %s", record.name, record.state, record.reason)
                progress.finish(record)


def _known_windows(windows: WindowObjects, scene: PlannedScene) -> KnownWindows:
    there = windows.look(scene.name)
    failed = windows.read_failed(scene.name) if there.failed else {}
    return KnownWindows(there.finished, failed)


def _given_up(output: Store, task: ProductTask, reason: str) -> SceneRecord:
    """What to hold of a product over which every worker died."""
    record = nothing_written(task.scene, reason)
    Ledger(output).record(record)
    return record


def _tell(conclusion: Conclusion) -> None:
    print(f"\n{result_text(conclusion.result)}")  # the job's answer, not a log line
    print_closing(conclusion.places, conclusion.next_commands)

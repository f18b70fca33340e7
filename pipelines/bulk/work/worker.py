"""What a worker does: compute a window and keep it; write, commit and record a product. Knows no Ray."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.bulk.commits.commit import Committer
from pipelines.bulk.commits.ledger import Ledger
from pipelines.bulk.commits.verify import check_here
from pipelines.bulk.config import BulkConfig
from pipelines.bulk.products.product import ProductWriter, WrittenProduct
from pipelines.bulk.records import WORK_FOLDER, PlannedScene, RunIdentity, SceneRecord
from pipelines.bulk.work.open_runs import OpenRuns, OpenScene
from pipelines.bulk.work.tasks import CheckTask, Outcome, ProductTask, SceneTask, Task, WindowTask
from pipelines.bulk.work.work_objects import WindowObjects
from pipelines.leases.lease import LeaseWitness
from pipelines.models import ModelSource
from pipelines.storage import ObjectDamaged, ObjectMissing, StorageSettings, Store, local_path
from pipelines.timestamps import timestamp
from rssr.allocator import keep_freed_memory
from rssr.errors import DataError, ModelError, RasterError, TileError

OF_ONE_SCENE = (DataError, RasterError, ModelError, TileError, ObjectMissing, ObjectDamaged)
"""What concerns one scene or window; any other error ends the run."""


@dataclass(frozen=True)
class BulkTask:
    """All that workers need to know; travels to them.

    Attributes:
        config: Of the run.
        identity: Of the run.
        model: Where the model comes from.
        output: Where products go.
        settings: How to reach S3.
        lease: Of the run; who works for one that has ended commits nothing.
    """

    config: BulkConfig
    identity: RunIdentity
    model: ModelSource
    output: Store
    settings: StorageSettings
    lease: LeaseWitness


class BulkWorker:
    """Does any task of a run.

    Args:
        output: Where products lie.
        run: What is to be made; None where what was made is only checked.
    """

    def __init__(self, output: Store, run: BulkTask | None) -> None:
        output.expect_answers()  # the driver has reached it
        self._output = output
        self._run = run
        self._scenes: SceneWorker | None = None

    def __call__(self, task: Task) -> Outcome:
        """Do a task.

        Raises:
            StorageError: Input or output cannot be reached or written, or has no room.
            RssrError: The model cannot be loaded.
        """
        if isinstance(task, CheckTask):
            started_s = time.perf_counter()
            found = tuple(check_here(self._output, task.scenes))
            return Outcome(time.perf_counter() - started_s, worker=_own_name(), found=found)
        if self._scenes is None:
            assert self._run is not None, "scenes are handed out in a run alone"
            self._scenes = SceneWorker(self._run)
        return self._scenes(task)


class SceneWorker:
    """Does tasks of scenes; safe to run again, since what it writes depends on the task alone.

    Args:
        task: The run.

    Raises:
        RssrError: The model cannot be loaded.
    """

    def __init__(self, task: BulkTask) -> None:
        keep_freed_memory()
        if not task.model.is_interpolation:
            _use_threads(task.config.worker.num_threads)
        self._task = task
        self._name = _own_name()
        self._runs = OpenRuns(task.config, task.model, task.settings)
        self._windows = WindowObjects(task.output)
        self._writer = ProductWriter(task.config, task.identity, self._runs.model.card, self._windows)
        self._committer = Committer(task.output, task.lease)
        self._ledger = Ledger(task.output)

    def __call__(self, task: SceneTask) -> Outcome:
        """Do a task.

        Raises:
            StorageError: Input or output cannot be reached or written, or has no room.
        """
        started_s = time.perf_counter()
        if isinstance(task, WindowTask):
            failure = self._compute(task)
            return Outcome(time.perf_counter() - started_s, failure, worker=self._name)
        record = self._product(task)
        seconds = time.perf_counter() - started_s
        record = replace(record, compute_s=task.compute_s, write_s=seconds, finished_at=timestamp(), worker=self._name)
        self._ledger.record(record)
        if not self._task.config.keep_work:
            self._windows.delete(task.scene.name)
        return Outcome(seconds, record=record, worker=self._name)

    def _compute(self, task: WindowTask) -> str:
        """Why the window failed; empty where it is kept now."""
        name = task.scene.name
        try:
            strips, counts = self._runs.get(task.scene).compute(task.window)
        except OF_ONE_SCENE as error:
            self._windows.put_failed(name, task.window, str(error))
            return str(error)
        self._windows.put(name, task.window, strips, asdict(counts))
        return ""

    def _product(self, task: ProductTask) -> SceneRecord:
        planned = task.scene
        if len(task.failed) == len(planned.windows):
            return nothing_written(planned, f"all of its windows failed; the first: {task.failed[0][1]}")
        with _scratch(self._task.output) as folder:
            try:
                written = self._written(planned, task.failed, folder)
            except OF_ONE_SCENE as error:
                return nothing_written(planned, str(error))
            finally:
                self._runs.close(planned.name)
            self._commit(written)
        return written.record

    def _written(self, planned: PlannedScene, failed: tuple[tuple[str, str], ...], folder: Path) -> WrittenProduct:
        self._runs.close(planned.name)  # counts start anew
        scene = self._runs.get(planned)
        try:
            return self._writer.write(planned, scene, failed, folder)
        except OF_ONE_SCENE:
            found = [] if failed or not scene.is_cut_in_vain else list(self._failing(scene))
            if not found:
                raise
        if len(found) == len(scene.windows):
            raise DataError(f"all of its windows failed; the first: {found[0][1]}")
        self._runs.close(planned.name)
        return self._writer.write(planned, self._runs.get(planned), found, folder)

    def _failing(self, scene: OpenScene) -> Iterator[tuple[str, str]]:
        """Windows that cannot be computed, by key, with the reason."""
        for key in scene.windows:
            try:
                scene.try_out(key)
            except OF_ONE_SCENE as error:
                yield key, str(error)

    def _commit(self, written: WrittenProduct) -> None:
        files = zip(written.paths, written.record.files, strict=True)
        self._committer.commit([(path, file.key, file.role) for path, file in files])


def nothing_written(planned: PlannedScene, reason: str) -> SceneRecord:
    """The entry of a scene of which there is no product."""
    return SceneRecord(
        name=planned.name,
        state="failed",
        reason=reason,
        input_uri=planned.scene.uri,
        input_version=planned.scene.version,
        num_tiles=planned.num_tiles,
    )


def _own_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _use_threads(number: int) -> None:
    import torch  # here, because interpolation does without it

    torch.set_num_threads(number)


@contextmanager
def _scratch(output: Store) -> Iterator[Path]:
    """A folder for files on their way out: beside the products, where these lie on a disk, which has room for them."""
    folder = local_path(output.uri)
    root = None if folder is None else folder / WORK_FOLDER
    if root is not None:
        root.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".scratch-", dir=root) as name:
        yield Path(name)

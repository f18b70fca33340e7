"""Models on Ray Serve: replicas, the keeper of their versions, and the way to them."""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ray import serve
from ray.exceptions import RayActorError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from pipelines.models import BUILT_IN
from pipelines.serving.config import ModelConfig, ServeConfig
from pipelines.serving.models.api import Health
from pipelines.serving.models.batching import (
    NobodyWaits,
    TileJob,
    TileOutcome,
    Waiting,
    num_tiles,
    run_together,
)
from pipelines.serving.models.copies import CopySweeper
from pipelines.serving.models.keeper import Keeper
from pipelines.serving.models.records import ModelRecord, ModelRecords
from pipelines.serving.models.replica import SceneWork
from pipelines.serving.models.request import SrRequest, SrResult
from pipelines.serving.models.versions import VersionHolder
from pipelines.serving.problems import Problem
from pipelines.serving.telemetry.exposition import start_reporting
from pipelines.serving.telemetry.logs import about_hop, configure_logs
from pipelines.serving.telemetry.metrics import service_metrics
from pipelines.storage import open_store
from rssr.allocator import keep_freed_memory
from rssr.errors import RssrError, StorageError

log = logging.getLogger(__name__)

_FIRST_VERSION_S = 600.0  # for a model to be fetched and tried
_LOOK_S = 2.0  # how often replicas look for what is announced, at most
_RECORDS_S = 1.0  # how long an ingress replica believes what it read
_HEALTH_S = 5.0
_RETRY_S = "2"


class ModelReplica:
    """One replica of a model.

    Args:
        settings: Of the service, as `ServeConfig` dumps them.
        name: Of the model.
    """

    def __init__(self, settings: dict[str, Any], name: str) -> None:
        config = ServeConfig.model_validate(settings)
        self._model = next(model for model in config.served if model.name == name)
        replica = self._model.replica
        configure_logs(config.telemetry, f"model-{name}")
        start_reporting(config.telemetry.metrics_interval_s, config.output.uri)
        self._metrics = service_metrics()
        self._num_waiting = 0
        keep_freed_memory()
        _set_num_threads(self._model)
        device = "cuda" if replica.num_gpus > 0 else "cpu"
        self._batch_size = replica.batch_size if replica.num_gpus > 0 else None
        self._versions = VersionHolder(self._model, ModelRecords(open_store(config.output.uri)), device)
        self._scenes = ThreadPoolExecutor(replica.max_ongoing_requests, "scene")
        self._lane = ThreadPoolExecutor(1, "model")
        together: Any = self._together  # what @serve.batch adds is not typed
        # On the CPU tiles do not go faster together: each image gets its own as soon as it is done.
        together.set_max_batch_size(replica.batch_size if replica.num_gpus > 0 else 1)
        together.set_batch_wait_timeout_s(replica.batch_wait_s if replica.num_gpus > 0 else 0.0)
        self._versions.wait(_FIRST_VERSION_S)
        _repeat(self._versions.look, min(_LOOK_S, config.refresh_s), f"versions-{name}")

    async def super_resolve(self, request: SrRequest) -> SrResult | Problem:
        """Super-resolve one image.

        Returns:
            The result, or what the caller is told: problems are values here, since Ray wraps what is raised.
        """
        loop, waiting = asyncio.get_running_loop(), Waiting(request.deadline)
        try:
            return await loop.run_in_executor(self._scenes, self._worked, request, waiting, loop)
        finally:
            waiting.give_up()

    async def forward(self) -> str:
        """Run a tiny picture; returns why it failed, or nothing."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._scenes, self._versions.try_forward)
        except (RssrError, Problem) as error:
            log.warning("A tiny picture failed: %s", error)
            return "it fails on a tiny picture"
        return ""

    def _worked(self, request: SrRequest, waiting: Waiting, loop: asyncio.AbstractEventLoop) -> SrResult | Problem:
        """In a thread for each image; tiles go back to the loop, where those of all images meet."""

        def submit(job: TileJob) -> TileOutcome:
            future = asyncio.run_coroutine_threadsafe(self._waited_for(job), loop)
            try:
                return future.result(max(request.deadline - time.time(), 0.0))
            except TimeoutError:
                raise NobodyWaits("The request's time is over.") from None

        name, batch_size = self._model.name, self._model.replica.batch_size
        with about_hop(request.traceparent, request_id=request.request_id, model=name):
            try:
                result = SceneWork(self._versions.served, request, batch_size, submit, waiting).run()
            except Problem as problem:
                return problem
        seam_score = result.seam_score if result.num_tiles > 1 else None
        self._metrics.scene_done(name, result.megapixels, result.area_km2, seam_score)
        if result.num_splits:
            self._metrics.memory_ran_out(name, result.num_splits)
        return result

    async def _waited_for(self, job: TileJob) -> TileOutcome:
        """The outcome of a job; counts what waits."""
        self._wait(len(job.batch.lr))
        outcome: TileOutcome = await self._together(job)
        return outcome

    def _wait(self, num_more: int) -> None:
        self._num_waiting += num_more
        self._metrics.tiles_wait(self._model.name, self._num_waiting)

    @serve.batch(batch_size_fn=num_tiles)  # type: ignore[untyped-decorator]  # Ray's decorators have no types
    async def _together(self, jobs: list[TileJob]) -> list[TileOutcome]:
        """Run what waits, whoever asked for it."""
        self._wait(-num_tiles(jobs))
        loop, started = asyncio.get_running_loop(), time.perf_counter()
        outcomes = await loop.run_in_executor(self._lane, run_together, jobs, self._batch_size)
        self._metrics.batch_ran(self._model.name, num_tiles(jobs), time.perf_counter() - started)
        return outcomes


class ModelKeeper:
    """Looks for new versions as long as it lives; where it dies, what is served stays until there is another.

    Args:
        settings: Of the service, as `ServeConfig` dumps them.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        config = ServeConfig.model_validate(settings)
        configure_logs(config.telemetry, "models")
        start_reporting(config.telemetry.metrics_interval_s, config.output.uri)
        keeper, copies = make_keeper(config), CopySweeper(ModelRecords(open_store(config.output.uri)))

        def refresh() -> None:
            try:
                keeper.refresh()
                copies.sweep()
            except StorageError as error:
                log.warning("The service's state does not answer, so what is served stays: %s", error)

        _repeat(refresh, config.refresh_s, "keeper")


def make_keeper(config: ServeConfig) -> Keeper:
    """The keeper of a service's models."""
    records, rolled_out = ModelRecords(open_store(config.output.uri)), service_metrics().version_tried
    return Keeper(config.served, records, config.mlflow, config.self_test, rolled_out)


class ModelHandles:
    """The way from an ingress replica to the models.

    Args:
        handles: By name of the model.
        config: Of the service.
    """

    def __init__(self, handles: Mapping[str, DeploymentHandle[Any]], config: ServeConfig) -> None:
        self._handles = handles
        self._config = config
        self._records = ModelRecords(open_store(config.output.uri))
        self._read: tuple[float, list[ModelRecord]] = (0.0, [])

    async def super_resolve(self, model: str, request: SrRequest) -> SrResult:
        """See `ModelApi`."""
        try:
            return await self._asked(model, request)
        except (RayActorError, ReplicaUnavailableError):
            log.warning("A replica of %s died; its request is sent to another.", model)
        try:
            return await self._asked(model, request)
        except (RayActorError, ReplicaUnavailableError):
            raise _busy("The processes that worked on it died.") from None

    async def records(self) -> list[ModelRecord]:
        """See `ModelApi`."""
        read_at, records = self._read
        if time.monotonic() - read_at > _RECORDS_S:
            try:
                records = await asyncio.to_thread(self._read_all)
            except StorageError as error:
                log.warning("The service's state cannot be read: %s", error)
            self._read = (time.monotonic(), records)
        return records

    async def health(self, model: str) -> Health:
        """See `ModelApi`."""
        config = next(served for served in self._config.served if served.name == model)
        if config.scaling.min_replicas == 0:
            return "idle"
        response = self._handles[model].forward.remote()
        try:
            reason = await asyncio.wait_for(_waited(response), _HEALTH_S)
        except BackPressureError:
            return "ready"  # and busy
        except Exception as error:  # whatever keeps it from answering
            log.warning("%s does not answer: %s", model, type(error).__name__)
            return "starting"
        return "failed" if reason else "ready"

    async def _asked(self, model: str, request: SrRequest) -> SrResult:
        response = self._handles[model].super_resolve.remote(request)
        try:
            answer = await asyncio.wait_for(_waited(response), max(request.deadline - time.time(), 0.01))
        except TimeoutError:
            response.cancel()
            raise Problem("timed-out", "The image took longer than it may.", headers={"Retry-After": "10"}) from None
        except BackPressureError:
            raise _busy(f"All replicas of {model} have as much to do as they may.") from None
        except DeploymentUnavailableError:
            raise Problem("starting", f"{model} is not running at present.", headers={"Retry-After": "10"}) from None
        except (RayTaskError, TaskCancelledError):
            log.exception("A replica of %s failed.", model)
            raise Problem("internal", "The model failed on this image.") from None
        if isinstance(answer, Problem):
            raise answer
        result: SrResult = answer
        return result

    def _read_all(self) -> list[ModelRecord]:
        return [
            self._records.read(model.name) or ModelRecord(name=model.name, source=model.source)
            for model in self._config.served
        ]


def _set_num_threads(model: ModelConfig) -> None:
    """Of CPU arithmetic, before the first of it; bicubic interpolation has its own."""
    if model.source != BUILT_IN:
        import torch

        torch.set_num_threads(model.replica.num_threads)


def _busy(detail: str) -> Problem:
    return Problem("busy", detail, headers={"Retry-After": _RETRY_S})


async def _waited(response: Any) -> Any:  # noqa: ANN401  # Ray's responses are untyped
    return await response


def _repeat(work: Any, every_s: float, name: str) -> None:  # noqa: ANN401  # any function without arguments
    """Call a function now and again and again, in a thread that ends with the process."""

    def forever() -> None:
        while True:
            try:
                work()
            except Exception:  # whatever it is, the next time may go well
                log.exception("%s failed", name)
            time.sleep(every_s)

    threading.Thread(target=forever, name=name, daemon=True).start()

"""The archive runner as a deployment of Ray Serve, and the way to it from other replicas."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import ray
from ray import serve
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from pipelines.cluster import RayConfig
from pipelines.serving.archives.calls import Call, CalledArchives, answered
from pipelines.serving.archives.config import ArchivesConfig
from pipelines.serving.archives.order import BulkSettings
from pipelines.serving.archives.runner import ArchiveMetrics, NoMetrics, RunnerPlan
from pipelines.serving.archives.service import ArchiveService
from pipelines.serving.problems import Problem
from pipelines.storage import StorageSettings, open_store

log = logging.getLogger(__name__)

NAME = "Archives"
_ENDS_S = 30.0  # what a replica may take to end beside what its processes may
_MOST_AT_ONCE, _MOST_WAITING = 64, 256  # requests
_NUM_TRIES = 4  # of a call whose replica dies meanwhile: all calls may be made twice
_PAUSE_S = 0.5
_RETRY_S = 5


class Archives:
    """The one replica that keeps and runs archives; another one in its place goes on where it was.

    Args:
        root_uri: The service's own place: a folder that all nodes share, or an object store.
        config: How archives are run.
        bulk: What their runs have in common.
        metrics: Counts.
    """

    def __init__(
        self, root_uri: str, config: ArchivesConfig, bulk: BulkSettings, metrics: ArchiveMetrics | None = None
    ) -> None:
        settings = StorageSettings.from_environment()
        root = open_store(f"{root_uri.rstrip('/')}/", settings)
        plan = RunnerPlan(root, settings, config, _on_this_cluster(bulk), metrics or NoMetrics())
        self._service = ArchiveService(plan)
        self._service.start()

    async def call(self, name: str, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401  # of any method
        """Call a method of `ArchiveService`; a problem comes back as a value."""
        return await asyncio.to_thread(answered, self._service, name, arguments)

    def check_health(self) -> None:
        """Raise where the runner has ended, so that Serve starts another replica."""
        if not self._service.is_alive:
            raise RuntimeError("the archive runner has ended")

    async def __del__(self) -> None:
        """End well: Serve calls this before it ends a replica."""
        service = getattr(self, "_service", None)  # construction may have failed
        if service is not None:
            await asyncio.to_thread(service.stop)


def archives_application(
    root_uri: str, config: ArchivesConfig, bulk: BulkSettings, metrics: ArchiveMetrics | None = None
) -> serve.Application:
    """The deployment, to be bound to others.

    Args:
        root_uri: The service's own place: a folder that all nodes share, or an object store.
        config: How archives are run.
        bulk: What their runs have in common.
        metrics: Counts; travels to the replica.
    """
    deployment = serve.deployment(
        Archives,
        name=NAME,
        num_replicas=1,
        max_ongoing_requests=_MOST_AT_ONCE,
        max_queued_requests=_MOST_WAITING,
        graceful_shutdown_timeout_s=config.stop_s + _ENDS_S,
        ray_actor_options={"num_cpus": config.num_cpus},
    )
    return deployment.bind(root_uri, config, bulk, metrics)


def archives_behind(handle: DeploymentHandle, timeout_s: float = 60.0) -> CalledArchives:
    """Archives behind a handle.

    Args:
        handle: To the deployment.
        timeout_s: How long a call may take.
    """
    return CalledArchives(_calls_of(handle, timeout_s))


def _calls_of(handle: DeploymentHandle, timeout_s: float) -> Call:
    async def call(name: str, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401  # of any method
        try:
            async with asyncio.timeout(timeout_s):
                return await _outlasting(handle, name, arguments)
        except TimeoutError:
            return _later("timed-out", "The archive runner did not answer in time.")
        except BackPressureError:
            return _later("busy", "Too many requests wait for the archive runner.")
        except (ray.exceptions.RayActorError, RayServeException):
            return _later("busy", "The archive runner was replaced just now.")

    return call


async def _outlasting(handle: DeploymentHandle, name: str, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401  # of any method
    """A call that is made again where the replica dies under it."""
    for attempt in range(_NUM_TRIES):
        try:
            return await handle.call.remote(name, arguments)
        except ray.exceptions.RayActorError:
            if attempt == _NUM_TRIES - 1:
                raise
            log.info("The archive runner is being replaced.")
            await asyncio.sleep(_PAUSE_S * 2**attempt)
    raise AssertionError("counting does not end")


def _later(slug: str, detail: str) -> Problem:
    return Problem(slug, detail, f"Send it again in {_RETRY_S} s.", {"Retry-After": str(_RETRY_S)})


def _on_this_cluster(bulk: BulkSettings) -> BulkSettings:
    """Workers join the cluster that this replica runs on."""
    if bulk.num_workers == 0 or bulk.ray.address is not None:
        return bulk
    address = ray.get_runtime_context().gcs_address
    return replace(bulk, ray=RayConfig.model_validate({**bulk.ray.model_dump(), "address": address}))

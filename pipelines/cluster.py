"""Reaching Ray: a local instance, a running cluster, or the cluster that runs this job."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import Field

from pipelines.storage import is_local
from rssr.configuration import Config
from rssr.errors import ConfigError, UserError

log = logging.getLogger(__name__)

# Set by Ray for the entry point of a submitted job.
_JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"


class RayConfig(Config):
    """How to reach Ray."""

    address: str | None = None
    """Cluster address (`auto`, `HOST:PORT`, `ray://HOST:PORT`); null uses the cluster that runs this job, else
    starts a local instance."""
    num_cpus: int | None = Field(default=None, ge=2)
    """CPU cores of a local instance; null takes all of the machine's, and at least 2."""
    object_store_bytes: int = Field(default=512 * 2**20, ge=80 * 2**20)
    """Shared memory of a local instance, bytes."""


def inside_ray_job() -> bool:
    """Whether this process is the entry point of a submitted job."""
    return _JOB_VARIABLE in os.environ


def require_durable_output(uri: str) -> None:
    """Refuse a relative output inside a submitted job, whose working directory is a temporary copy.

    Raises:
        ConfigError: Naming what to write instead.
    """
    if inside_ray_job() and is_local(uri) and not uri.removeprefix("file://").startswith(("/", "~")):
        raise ConfigError(
            f"output.uri={uri} is relative, but a submitted job runs in a temporary copy of its working directory, "
            "where everything it writes would be lost.",
            "Give an absolute path that all nodes share, or a URI such as s3://bucket/prefix.",
        )


@contextmanager
def ray_session(config: RayConfig, needed: bool = True) -> Iterator[None]:
    """Connect to Ray, and leave it at the end if it was started here; nothing where it is not needed."""
    if not needed:
        yield
        return
    import ray

    if ray.is_initialized():
        yield
        return
    _quieten()
    address = config.address or ("auto" if inside_ray_job() else None)
    try:
        if address is None:
            num_cpus = config.num_cpus or max(2, os.cpu_count() or 2)
            ray.init(
                num_cpus=num_cpus,
                object_store_memory=config.object_store_bytes,
                include_dashboard=False,
                log_to_driver=False,  # workers report through the board, MLflow and their exceptions
                logging_level=logging.ERROR,
            )
        else:
            ray.init(address=address, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise UserError(
            f"No Ray cluster answers at {address}: {error}.",
            "Start one with `ray start --head`, or leave ray.address unset for a local instance.",
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _quieten() -> None:
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

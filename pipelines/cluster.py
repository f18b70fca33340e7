"""Reaching Ray: a local instance, a running cluster, or the cluster that runs this job."""

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pydantic import Field

from pipelines.cluster_errors import explain_failure, job_server_error, no_answer
from pipelines.cluster_token import require_token
from pipelines.data_tracker import hold_data_tracker
from pipelines.nodes import require_same_code
from pipelines.storage import is_local
from rssr.configuration import Config
from rssr.errors import ConfigError, UserError

log = logging.getLogger(__name__)

_LOCAL = "local"
_PATIENCE_S = 5.0
# Set by Ray for the entry point of a submitted job.
_JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"


class RayConfig(Config):
    """How to reach Ray."""

    address: str | None = None
    """Cluster address (`auto`, `HOST:PORT`, `ray://HOST:PORT`); null uses the cluster that runs this job or that
    RAY_ADDRESS names, else starts a local instance."""
    num_cpus: int | None = Field(default=None, ge=2)
    """CPU cores of a local instance; null takes all of the machine's, and at least 2."""
    object_store_bytes: int = Field(default=512 * 2**20, ge=80 * 2**20)
    """Shared memory of a local instance, bytes."""
    may_grow: bool = False
    """Whether the cluster starts nodes when there is too little room: a job that asks for more than there is then waits
    instead of being refused."""


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
    address = cluster_address(config)
    connect(address, config)
    try:
        if address != _LOCAL:
            require_same_code()
            hold_data_tracker()
        yield
    finally:
        ray.shutdown()


def connect(address: str, config: RayConfig) -> None:
    """Connect this process to a cluster, or to a local instance that is started for it.

    Args:
        address: As `cluster_address` gives it.
        config: Size of a local instance.

    Raises:
        UserError: Nothing answers there, or it refuses this process: another version, no token or a wrong one.
    """
    import ray

    _quieten()
    require_answer(address)
    try:
        if address == _LOCAL:
            ray.init(
                address=_LOCAL,
                num_cpus=_num_local_cpus(config),
                object_store_memory=config.object_store_bytes,
                include_dashboard=False,
                log_to_driver=False,  # workers report through the board, MLflow and their exceptions
                logging_level=logging.ERROR,
            )
        else:
            ray.init(address=address, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        ray.shutdown()  # a cluster that refuses may have got as far as to count this process
        raise explain_failure(address, error) from None


def require_room(config: RayConfig, num_workers: int, num_cpus: float, num_gpus: float) -> None:
    """Refuse more workers than a local instance can hold: Ray would wait for ever.

    Args:
        config: How Ray is reached.
        num_workers: Training workers, at least; 0 is this process, which needs no cores set aside.
        num_cpus: CPU cores that each reserves.
        num_gpus: GPUs that each reserves.

    Raises:
        ConfigError: With what is asked for and what is there.
    """
    if num_workers > 0 and cluster_address(config) != _LOCAL:
        return
    num_present_gpus = _num_gpus() if num_gpus > 0 else 0
    if num_workers == 0:
        if num_gpus > num_present_gpus:
            raise ConfigError(
                f"worker.num_gpus is {num_gpus:g}, but this machine has {num_present_gpus} GPUs.",
                "Set worker.num_gpus=0 to train on the CPU, or num_workers and the ray.address of a cluster with GPUs.",
            )
        return
    present = {"CPU": float(_num_local_cpus(config)), "GPU": float(num_present_gpus)}
    _require(num_workers, {"CPU": num_cpus, "GPU": num_gpus}, present, "a local Ray instance")


def require_room_on_cluster(config: RayConfig, num_workers: int, num_cpus: float, num_gpus: float) -> None:
    """The same for a cluster that does not grow, once it has been reached.

    Args:
        config: How Ray is reached.
        num_workers: Training workers, at least.
        num_cpus: CPU cores that each reserves.
        num_gpus: GPUs that each reserves.

    Raises:
        ConfigError: With what is asked for and what is there.
    """
    if num_workers == 0 or config.may_grow:
        return
    import ray

    _require(num_workers, {"CPU": num_cpus, "GPU": num_gpus}, ray.cluster_resources(), "the Ray cluster")


def _require(num_workers: int, each: Mapping[str, float], present: Mapping[str, float], where: str) -> None:
    for kind, number in each.items():
        wanted, there = num_workers * number, present.get(kind, 0.0)
        if wanted > there:
            name = "CPU cores" if kind == "CPU" else "GPUs"
            raise ConfigError(
                f"num_workers={num_workers} needs {wanted:g} {name}, but {where} has {there:g}.",
                "Lower num_workers or what a worker reserves (worker.num_cpus, worker.num_gpus), write "
                f"num_workers=[1,{num_workers}] to start with what there is, or give the ray.address of a larger "
                "cluster. Where the cluster starts nodes on demand, set ray.may_grow=true.",
            )


def cluster_address(config: RayConfig) -> str:
    """The configured cluster, else the environment's, else the one that runs this job, else `local`."""
    return config.address or os.environ.get("RAY_ADDRESS") or ("auto" if inside_ray_job() else _LOCAL)


def _num_gpus() -> int:
    import torch  # here, because most runs do not ask, and it takes long to load

    return torch.cuda.device_count()


def _num_local_cpus(config: RayConfig) -> int:
    return config.num_cpus or max(2, os.cpu_count() or 2)


def require_answer(address: str) -> None:
    """Find out within seconds whether something answers; Ray would go on trying for minutes.

    Raises:
        UserError: Nothing does, this is no address, or the cluster asks for a token that this process would not send.
    """
    if address in (_LOCAL, "auto"):
        return
    if address.startswith(("http://", "https://")):
        raise job_server_error(address)
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        raise UserError(f"'{address}' is no address of a Ray cluster.", "Write HOST:PORT, ray://HOST:PORT or auto.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise no_answer(address, error) from None
    require_token(address)


def _quieten() -> None:
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

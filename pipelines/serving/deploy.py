"""The serving job as one sentence: models are found and tried, the service is deployed, told of, and drained."""

import logging
import os
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cluster import (
    cluster_address,
    ray_session,
    require_durable_output,
    require_room,
    require_room_on_cluster,
)
from pipelines.experiment.config import OutputConfig
from pipelines.serving.config import ServeConfig
from pipelines.serving.declarative import APPLICATION, controller_options, http_options, serve_schema
from pipelines.serving.listening import listening_address
from pipelines.serving.security.keys import load_keys
from pipelines.storage import is_local, local_path, open_store
from pipelines.storage.store import probe_key
from rssr.errors import ConfigError, ExitCode
from rssr.plain_yaml import write_yaml

if TYPE_CHECKING:
    from ray.serve import Application

log = logging.getLogger(__name__)

_LOCAL_RAY = "local"
_NICENESS = ("RAY_worker_niceness", "0")  # Ray's workers stand back by 15, too far for requests that somebody waits for


def run_serve(config: ServeConfig) -> ExitCode:
    """Run the job: deploy the service, and stay until it is stopped.

    Raises:
        RssrError: Bad input, told before anything is started.
    """
    config = _with_absolute_output(config)
    _check(config)
    if config.write_config is not None:
        Path(config.write_config).write_text(write_yaml(serve_schema(config)), encoding="utf-8")
        print(f"{config.write_config}: deploy it with `serve deploy {config.write_config}`")  # the job's answer
        return ExitCode.DONE
    _announce_models(config)
    application = _application(config)
    os.environ.setdefault(*_NICENESS)
    with ray_session(config.ray):
        _check_cluster_room(config)
        _deploy(application, config)
        _tell(config)
        if config.wait:
            _wait_for_signal()
            log.info("The service ends: what is in hand is finished first.")
            _end()
    return ExitCode.DONE


def _check(config: ServeConfig) -> None:
    """Refuse what cannot work before anything is started."""
    require_durable_output(config.output.uri)
    if config.write_config is not None:
        return  # keys, models and room are those of the machines that will serve
    load_keys(config.security, config.host)
    is_own = cluster_address(config.ray) == _LOCAL_RAY
    if not config.wait and is_own:
        raise ConfigError(
            "wait=false leaves the service on a running cluster, but there is none.",
            "Leave wait out, or give the ray.address of a cluster.",
        )
    if is_own:
        _require_port(config)
    num_replicas = [model.scaling.min_replicas for model in config.served]
    for model, number in zip(config.served, num_replicas, strict=True):
        try:
            require_room(config.ray, number, model.replica.num_cpus, model.replica.num_gpus)
        except ConfigError as error:
            raise ConfigError(
                f"{model.name}: {error.problem}",
                "Lower models.NAME.scaling.min_replicas or models.NAME.replica.num_cpus or num_gpus, or give the "
                "ray.address of a larger cluster.",
            ) from None
    output, probe = open_store(config.output.uri), probe_key()
    output.write_bytes(probe, b"")
    output.delete(probe)


def _check_cluster_room(config: ServeConfig) -> None:
    for model in config.served:
        replica = model.replica
        require_room_on_cluster(config.ray, model.scaling.min_replicas, replica.num_cpus, replica.num_gpus)


def _require_port(config: ServeConfig) -> None:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            raise ConfigError(
                f"The service cannot listen at {config.host}:{config.port}: {error.strerror}.",
                "Stop what listens there, or give another port=N or host=ADDRESS.",
            ) from None


def _announce_models(config: ServeConfig) -> None:
    """Find and try the models in this process, so that what is wrong with them is told here.

    Raises:
        ModelError: One of them cannot be served.
    """
    from pipelines.serving.models.deployment import make_keeper
    from pipelines.serving.models.keeper import require_served

    for record in make_keeper(config).refresh():
        require_served(record)


def _application(config: ServeConfig) -> "Application":
    """Its parts, which find out what is wrong with their own settings; nothing is started."""
    from pipelines.serving.application import build

    return build(config.model_dump(mode="json"))


def _deploy(application: "Application", config: ServeConfig) -> None:
    from ray import serve

    for name in ("ray.serve", "ray"):
        logging.getLogger(name).setLevel(logging.WARNING)
    serve.start(proxy_location="EveryNode", http_options=http_options(config), controller_options=controller_options())
    _require_address(config)
    serve.run(application, name=APPLICATION, route_prefix="/")


def _require_address(config: ServeConfig) -> None:
    """Ray Serve that runs already keeps the address it has, whatever it is told, and says nothing.

    Raises:
        ConfigError: It listens somewhere else, where keys may be needed that this service would not ask for.
    """
    host, port = listening_address()
    if (host, port) != (config.host, config.port):
        raise ConfigError(
            f"Ray Serve runs on this cluster already, and listens at {host}:{port} instead of "
            f"{config.host}:{config.port}.",
            f"Give host={host} port={port}, or end what it serves with `serve shutdown`.",
        )


def _end() -> None:
    from ray import serve

    serve.delete(APPLICATION)  # others' applications may run on the same cluster


def _tell(config: ServeConfig) -> None:
    host = f"[{config.host}]" if ":" in config.host else config.host
    address = f"http://{host}:{config.port}"
    names = ", ".join(model.name for model in config.served)
    key = "" if config.is_loopback else " -H 'Authorization: Bearer KEY'"
    lines = [
        f"Serving {names} at {address}",
        f"  an image:  curl{key} --data-binary @image.png '{address}/v1/super-resolve?scale=4' -o sr.png",
        f"  the page:  {address}/",
        "Ctrl-C ends the service." if config.wait else "It stays; `serve shutdown` ends it.",
    ]
    print("\n".join(lines), flush=True)  # the job's answer, not a log line


def _with_absolute_output(config: ServeConfig) -> ServeConfig:
    """Replicas have other working directories."""
    uri = config.output.uri
    folder = local_path(uri) if is_local(uri) else None
    return config if folder is None else config.model_copy(update={"output": OutputConfig(uri=str(folder))})


def _wait_for_signal() -> None:
    """Return at the first SIGINT or SIGTERM; a second one ends the process at once."""
    event = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda received, frame: event.set()) for number in numbers}
    event.wait()
    for number, handler in before.items():
        signal.signal(number, handler)

"""From settings to a Ray Serve application: an ingress, a deployment for each model, the keeper of their versions."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from pipelines.serving.archives.deployment import archives_application, archives_behind
from pipelines.serving.archives.order import BulkSettings
from pipelines.serving.config import ModelConfig, ServeConfig
from pipelines.serving.http.app import Service, make_app
from pipelines.serving.http.archive_wiring import archive_door
from pipelines.serving.http.uploads import forget_leftovers
from pipelines.serving.listening import listening_address
from pipelines.serving.models.deployment import ModelHandles, ModelKeeper, ModelReplica
from pipelines.serving.security.keys import KEYS_VARIABLE, load_keys
from pipelines.serving.security.places import ServicePlaces
from pipelines.serving.telemetry.archives import CountedArchives
from pipelines.serving.telemetry.exposition import collect, start_reporting
from pipelines.serving.telemetry.logs import configure_logs

_RETRY_S = 2.0
_TELLS_S = 5.0  # so much longer than replicas of models an ingress replica lives: it tells callers of what those left
_NO_CORES = {"num_cpus": 0}  # they wait most of the time, and cores are for models
# glibc hands large blocks that a thread frees back to the kernel, whatever `rssr.allocator` says, unless the thread has
# the process's own heap: a fifth of a model's time went into clearing new pages.
_ONE_HEAP = {"env_vars": {"MALLOC_ARENA_MAX": "1"}}


class Ingress:
    """Takes requests and hands them on; holds nothing, so that any number of them do.

    Args:
        settings: Of the service, as `ServeConfig` dumps them.
        models: Handles by name of the model.
        archives: Handle of their runner.
        keeper: Is only there to be deployed with the rest.
        key_lines: Keys out of the environment of who deploys it, see `KEYS_VARIABLE`: digests, no keys.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        models: Mapping[str, DeploymentHandle[Any]],
        archives: DeploymentHandle[Any],
        keeper: object,
        key_lines: str,
    ) -> None:
        self._config = ServeConfig.model_validate(settings)
        self._models = models
        self._archives = archives
        self._key_lines = key_lines

    def __serve_build_asgi_app__(self) -> Any:  # noqa: ANN401  # an ASGI application
        """Called by Ray Serve in each replica."""
        config = self._config
        configure_logs(config.telemetry, "ingress")
        forget_leftovers(config.limits)
        reporter = start_reporting(config.telemetry.metrics_interval_s, config.output.uri)
        models = ModelHandles(self._models, config)
        archives = archive_door(config, archives_behind(self._archives), models)
        host, _ = listening_address()  # whatever the settings say: a config file of Ray Serve has its own word for it
        keys = load_keys(config.security, host, {KEYS_VARIABLE: self._key_lines})
        return make_app(Service(config, keys, models, archives, partial(collect, reporter)))


def build(settings: dict[str, Any]) -> serve.Application:
    """The application; what a Ray Serve config file names.

    Args:
        settings: Keys of `jobs/serve.py`.

    Raises:
        ConfigError: Others than this machine would reach it, and there are no keys.
        ValidationError: They are none.
    """
    config = ServeConfig.model_validate(settings)
    if config.security.keys_file is None:  # else the ingress looks into it: the file lies where that runs
        load_keys(config.security, config.host)
    complete = config.model_dump(mode="json")
    models = {model.name: _replicas(model, config).bind(complete, model.name) for model in config.served}
    keeper = serve.deployment(ModelKeeper, name="Keeper", num_replicas=1, ray_actor_options=_NO_CORES).bind(complete)
    key_lines = os.environ.get(KEYS_VARIABLE, "")
    return _ingress(config).bind(complete, models, _archives(config), keeper, key_lines)


def _archives(config: ServeConfig) -> serve.Application:
    allowed = ServicePlaces(config.security).bulk_keys()
    bulk = BulkSettings(
        num_workers=config.archives.num_workers,
        worker=config.archives.worker,
        ray=config.ray,
        mlflow=config.mlflow,
        read_places=tuple(allowed["read_places"]),
        inner_hosts=tuple(allowed["inner_hosts"]),
    )
    counted = CountedArchives(config.telemetry, config.output.uri)
    return archives_application(config.output.uri, config.archives, bulk, counted)


def _ingress(config: ServeConfig) -> serve.Deployment:
    return serve.deployment(
        serve.ingress()(Ingress),
        name="Ingress",
        num_replicas=config.ingress.num_replicas,
        max_ongoing_requests=config.ingress.max_ongoing_requests,
        max_queued_requests=config.ingress.max_queued_requests,
        backpressure_config={"status_code": 503, "retry_after_s": _RETRY_S},
        graceful_shutdown_timeout_s=config.drain_s + _TELLS_S,
        ray_actor_options=_NO_CORES,
    )


def _replicas(model: ModelConfig, config: ServeConfig) -> serve.Deployment:
    replica, scaling = model.replica, model.scaling
    return serve.deployment(
        ModelReplica,
        name=f"model-{model.name}",
        autoscaling_config={
            "min_replicas": scaling.min_replicas,
            "max_replicas": scaling.max_replicas,
            "target_ongoing_requests": scaling.target_ongoing_requests,
            "look_back_period_s": scaling.look_back_s,
            "upscale_delay_s": scaling.upscale_delay_s,
            "downscale_delay_s": scaling.downscale_delay_s,
        },
        max_ongoing_requests=replica.max_ongoing_requests,
        max_queued_requests=replica.max_queued_requests,
        graceful_shutdown_timeout_s=config.drain_s,
        ray_actor_options={
            "num_cpus": replica.num_cpus,
            "num_gpus": replica.num_gpus,
            "runtime_env": _ONE_HEAP,
        },
    )

"""One service that many tests share: real Ray Serve, small models, a real registry."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from pipelines.serving.config import ServeConfig
from pipelines.serving.deploy import run_serve
from pipelines.tracking import set_alias
from tests.conftest import UNTIL_GROUP_ENDS, free_port
from tests.pipelines.registries import Registry
from tests.pipelines.serving.http.live import Live
from tests.pipelines.serving.images import small_sampler

_PATIENCE_S = 280.0
_LITTLE = {"num_cpus": 0}  # the cluster's cores are also those of other tests, some of which need all of them


@dataclass(frozen=True)
class Serving:
    """A running service with the models `bicubic`, `ldcsr-small`, which takes one request at a time, and `registered`.

    Attributes:
        live: To ask it.
        config: Of it.
        registry: Whose `champion` is served as `registered`; broken and better versions may be made in it.
        sampler: Folder of `ldcsr-small`.
    """

    live: Live
    config: ServeConfig
    registry: Registry
    sampler: Path

    def wait_until_ready(self) -> None:
        """After something was killed."""
        deadline = time.monotonic() + _PATIENCE_S
        while self.live.ask("GET", "/readyz").status != 200:
            assert time.monotonic() < deadline, "the service does not come back"
            time.sleep(0.5)


def kill_one(deployment: str) -> None:
    """End a replica's process at once."""
    import ray
    from ray.serve._private.constants import SERVE_NAMESPACE

    names = [str(entry["name"]) for entry in ray.util.list_named_actors(all_namespaces=True)]
    name = next(name for name in names if f"#{deployment}#" in name)
    ray.kill(ray.get_actor(name, namespace=SERVE_NAMESPACE))


@pytest.fixture(scope="session")
def serving(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """The service; one for all tests of this folder."""
    from ray import serve

    folder = tmp_path_factory.mktemp("serving")
    with patch.dict(os.environ, {"XDG_CACHE_HOME": str(folder / "cache")}):
        registry = Registry(folder / "registry")
        set_alias(registry.uri, registry.register("first"), "champion")
        config = _config(folder, registry, small_sampler(folder / "ldcsr-small"), ray_cluster)
        run_serve(config)  # as on any cluster that runs already: it deploys, and leaves
    UNTIL_GROUP_ENDS.callback(serve.shutdown)
    return Serving(Live(config.port), config, registry, folder / "ldcsr-small")


def _config(folder: Path, registry: Registry, sampler: Path, address: str) -> ServeConfig:
    scaling = {"min_replicas": 1, "max_replicas": 1}
    sources = {"bicubic": "bicubic", "ldcsr-small": str(sampler), "registered": "models:/model-x4@champion"}
    models = [
        {"name": name, "source": source, "replica": _LITTLE, "scaling": scaling} for name, source in sources.items()
    ]
    models[1]["replica"] = {**_LITTLE, "max_ongoing_requests": 1, "max_queued_requests": 1}
    return ServeConfig.model_validate(
        {
            "port": free_port(),
            "wait": False,
            "ray": {"address": address},
            "models": models,
            "output": str(folder / "state"),
            "refresh_s": 1.0,
            "drain_s": 5.0,
            "request_timeout_s": 60.0,
            "self_test": {"min_psnr_db": None},  # the networks are untrained
            "mlflow": {"tracking_uri": registry.uri},
            "limits": {"max_pixels": 10_000},
            "security": {"read_places": [str(folder / "in")], "write_places": [str(folder / "out")]},
        }
    )

"""The service's settings as a config file of Ray Serve, for `serve deploy` and KubeRay."""

from typing import Any

from pipelines.serving.config import ServeConfig
from pipelines.serving.http.proxy import CALLBACK

APPLICATION = "rssr"
"""Name of the application on its Ray cluster."""
IMPORT_PATH = "pipelines.serving.application:build"
"""What builds it."""

_GRACE_S = 10.0  # the service itself answers sooner


def serve_schema(config: ServeConfig) -> dict[str, Any]:
    """What Ray Serve's config file holds; the whole service follows from the settings in it.

    Args:
        config: Of the service.
    """
    settings = config.model_dump(mode="json", exclude={"wait", "write_config", "ray"})
    # Archives' processes look for their workers on the cluster that runs the service, and wait where it may grow.
    settings["ray"] = {"address": "auto", "may_grow": config.ray.may_grow}
    return {
        "proxy_location": "EveryNode",
        "http_options": http_options(config),
        "controller_options": controller_options(),
        "applications": [{"name": APPLICATION, "route_prefix": "/", "import_path": IMPORT_PATH, "args": settings}],
    }


def http_options(config: ServeConfig) -> dict[str, Any]:
    """Where Ray Serve's proxies listen, and when they give up."""
    longest_s = max(config.request_timeout_s, config.limits.upload_timeout_s) + _GRACE_S
    return {"host": config.host, "port": config.port, "request_timeout_s": longest_s}


def controller_options() -> dict[str, Any]:
    """What Ray Serve's own processes are told: its proxies answer as the service does."""
    return {"runtime_env": {"env_vars": CALLBACK}}

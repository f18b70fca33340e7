"""All routes and what stands before them, as one ASGI application."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from pipelines.serving.config import ServeConfig
from pipelines.serving.http.access_log import AccessLog
from pipelines.serving.http.archives import ArchiveDoor, archive_routes
from pipelines.serving.http.errors import install_errors
from pipelines.serving.http.guard import Guard
from pipelines.serving.http.health import health_routes
from pipelines.serving.http.metrics import metrics_routes
from pipelines.serving.http.models import model_routes
from pipelines.serving.http.page import page_routes
from pipelines.serving.http.super_resolve import super_resolve_routes
from pipelines.serving.models.api import ModelApi
from pipelines.serving.security.keys import Keys
from pipelines.serving.telemetry.metrics import service_metrics

_ABOUT = "Super-resolves remote-sensing images: one at a time, or whole archives. Detail is estimated, not measured."


@dataclass(frozen=True)
class Service:
    """What the routes work with.

    Attributes:
        config: Of the service.
        keys: Whose requests are taken.
        models: Who runs the models.
        archives: The way to the archives.
        collect_metrics: Gathers what /metrics tells.
    """

    config: ServeConfig
    keys: Keys
    models: ModelApi
    archives: ArchiveDoor
    collect_metrics: Callable[[], Awaitable[str]]


def make_app(service: Service) -> ASGIApp:
    """The application; what stands before the routes is listed from the inside out.

    Args:
        service: What the routes work with.
    """
    app = FastAPI(
        title="rssr", summary=_ABOUT, version=_version(), docs_url=None, redoc_url=None, redirect_slashes=False
    )
    for routes in _routes(service):
        app.include_router(routes)
    install_errors(app)
    return AccessLog(Guard(app, service.keys, service.config.limits), service_metrics())


def _routes(service: Service) -> Iterator[APIRouter]:
    yield super_resolve_routes(service.models, service.config)
    yield model_routes(service.models)
    yield archive_routes(service.archives)
    yield health_routes(service.models)
    yield metrics_routes(service.collect_metrics)
    yield page_routes()


def _version() -> str:
    try:
        return version("rssr")
    except PackageNotFoundError:
        return "0"

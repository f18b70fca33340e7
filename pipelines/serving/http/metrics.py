"""GET /metrics: what all processes of the service have counted, for Prometheus."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response

from pipelines.serving.problems import Problem
from pipelines.serving.telemetry.counts import CONTENT_TYPE


def metrics_routes(collect: Callable[[], Awaitable[str]]) -> APIRouter:
    """The route.

    Args:
        collect: Gathers the text, `telemetry.exposition.collect`; raises TimeoutError where it cannot.
    """
    routes = APIRouter()

    @routes.get("/metrics", summary="Counters of the service in Prometheus' text format", response_class=Response)
    async def metrics() -> Response:
        try:
            text = await collect()
        except TimeoutError:
            raise Problem("busy", "The counts cannot be gathered now.", headers={"Retry-After": "5"}) from None
        return Response(text, media_type=CONTENT_TYPE)

    return routes

"""GET /livez and /readyz: whether the process lives, and whether the models answer."""

import asyncio
import time
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from pipelines.serving.models.api import Health, ModelApi
from pipelines.serving.models.records import ModelRecord

_BELIEVED_S = 10.0  # how long an answer is given again: probes come often, and a tiny picture takes time
_DOUBTED_S = 1.0
_RETRY_S = "5"


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """Whether requests can be taken."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: Literal["ready", "not ready"]
    """Ready if every model is, or waits for its first request; a model without any usable version does not count as
    long as another is ready."""
    models: dict[str, Health]
    """By name."""


class ReadinessProbe:
    """Asks the models, one question at a time, and gives the answer to all who ask within a few seconds.

    Args:
        models: Who runs the models.
    """

    def __init__(self, models: ModelApi) -> None:
        self._models = models
        self._lock = asyncio.Lock()
        self._until = 0.0
        self._last: Readiness | None = None

    async def __call__(self) -> Readiness:
        """Whether requests can be taken."""
        async with self._lock:
            if self._last is None or time.monotonic() > self._until:
                self._last = await self._asked()
                is_ready = self._last.status == "ready"
                self._until = time.monotonic() + (_BELIEVED_S if is_ready else _DOUBTED_S)
            return self._last

    async def _asked(self) -> Readiness:
        records = await self._models.records()
        told = await asyncio.gather(*(self._health(record) for record in records))
        models = {record.name: health for record, health in zip(records, told, strict=True)}
        usable = [health for health in told if health != "failed"]
        is_ready = bool(usable) and all(health in ("ready", "idle") for health in usable)
        return Readiness(status="ready" if is_ready else "not ready", models=models)

    async def _health(self, record: ModelRecord) -> Health:
        if record.state == "ready":
            return await self._models.health(record.name)
        return "failed" if record.state == "failed" else "starting"


def health_routes(models: ModelApi) -> APIRouter:
    """The routes.

    Args:
        models: Who runs the models.
    """
    routes, probe = APIRouter(tags=["health"]), ReadinessProbe(models)

    @routes.get("/livez", summary="Whether the process answers")
    async def livez() -> Alive:
        return Alive()

    @routes.get("/readyz", summary="Whether the models answer", responses={503: {"model": Readiness}})
    async def readyz(response: Response) -> Readiness:
        readiness = await probe()
        if readiness.status != "ready":
            response.status_code = 503
            response.headers["Retry-After"] = _RETRY_S
        return readiness

    return routes

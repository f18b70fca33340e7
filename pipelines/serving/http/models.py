"""GET /v1/models: what is served, and in which version."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from pipelines.serving.models.api import ModelApi
from pipelines.serving.models.records import ModelRecord


class Answer(BaseModel):
    """Base of all answers: nothing in them that the API's description does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class Rejected(Answer):
    """A version that was found and is not served."""

    version: str
    """Which."""
    reason: str
    """What it failed at."""
    at: str
    """When, UTC."""


class Model(Answer):
    """A model that is served."""

    name: str
    """What requests call it."""
    is_default: bool
    """Whether it is taken where a request names none."""
    source: str
    """Where it comes from: a registered model with its alias, a folder's name, or bicubic."""
    version: str | None
    """The version that is served now; null where there is none yet."""
    digest: str | None
    """SHA-256 of its files; null for bicubic."""
    state: Literal["ready", "loading", "failed"]
    """Whether it can be used."""
    bands: list[str]
    """Bands it takes, in this order; empty where it takes any."""
    scales: tuple[float, float] | None
    """Smallest and largest enlargement; null where it takes any."""
    gives_uncertainty: bool
    """Whether it can tell how far its images may be off."""
    licence: str | None
    """Of its weights."""
    card: dict[str, Any] | None
    """All that is known of it; null for bicubic."""
    rejected: Rejected | None
    """The newest version, where it failed its self-test and another is served; else null."""


class ModelList(Answer):
    """All models."""

    models: list[Model]
    """The default first."""


def model_routes(models: ModelApi) -> APIRouter:
    """The route.

    Args:
        models: Who runs the models.
    """
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models", summary="Models and their versions")
    async def list_models() -> ModelList:
        records = await models.records()
        return ModelList(models=[_told(record, is_default=number == 0) for number, record in enumerate(records)])

    return routes


def _told(record: ModelRecord, *, is_default: bool) -> Model:
    version, rejected = record.version, record.rejected
    return Model(
        name=record.name,
        is_default=is_default,
        source=_without_folders(record.source),
        version=version.label if version else None,
        digest=version.digest or None if version else None,
        state=record.state,
        bands=list(version.bands) if version else [],
        scales=version.scales if version else None,
        gives_uncertainty=version.gives_uncertainty if version else False,
        licence=version.licence if version else None,
        card=version.card if version else None,
        rejected=Rejected(version=rejected.label, reason=rejected.reason, at=rejected.at) if rejected else None,
    )


def _without_folders(source: str) -> str:
    """Where the operator keeps things is nobody's business."""
    return source if source.startswith("models:") else source.rstrip("/").rpartition("/")[2]

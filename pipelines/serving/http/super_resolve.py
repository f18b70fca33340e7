"""POST /v1/super-resolve: an image in, a larger one out."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.serving.config import ServeConfig
from pipelines.serving.http.uploads import received
from pipelines.serving.models.api import ModelApi
from pipelines.serving.models.names import model_named
from pipelines.serving.models.request import SrRequest, SrResult
from pipelines.serving.problems import Problem
from pipelines.serving.security.config import LimitsConfig
from pipelines.serving.security.image_limits import check_answer, check_image

_MOST_SCALE = 64.0
_MOST_SEED = 2**63 - 1
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_IMAGES = ("image/png", "image/jpeg", "image/tiff")


class SrParameters(BaseModel):
    """What is asked for beside the image."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    model: str | None = Field(default=None, max_length=100)
    """Name of a model of GET /v1/models; by default the first one."""
    scale: float | None = Field(default=None, ge=1, le=_MOST_SCALE, allow_inf_nan=False)
    """Enlargement of each side; by default the model's usual one."""
    format: Literal["png", "jpeg", "tiff"] | None = None
    """Of the answer; by default the image's own family."""
    uncertainty: bool = False
    """Whether the answer is a zip archive: the image, how far it may be off, and a picture of that."""
    seed: int = Field(default=0, ge=0, le=_MOST_SEED)
    """For models that draw noise: same seed, same image."""


def super_resolve_routes(models: ModelApi, config: ServeConfig) -> APIRouter:
    """The route.

    Args:
        models: Who runs the models.
        config: Of the service.
    """
    routes = APIRouter(tags=["images"])

    @routes.post(
        "/v1/super-resolve",
        summary="Super-resolve one image",
        response_class=Response,
        responses={200: {"description": "The image.", "content": _answer_kinds()}},
        openapi_extra={"requestBody": _body_kinds()},
    )
    async def super_resolve(request: Request, query: Annotated[SrParameters, Query()]) -> Response:
        began_s, deadline = time.perf_counter(), time.time() + config.request_timeout_s
        async with received(request, config.limits, fields=tuple(SrParameters.model_fields)) as upload:
            asked = _with_fields(query, upload.fields)
            model = model_named(config, asked.model)
            scale = model.scale if asked.scale is None else asked.scale
            image = await asyncio.to_thread(_checked, upload.path, scale, config.limits)
        asked = asked.model_copy(update={"scale": scale})
        result = await models.super_resolve(model.name, _sr_request(request, image, asked, deadline))
        return _answer(result, model.name, time.perf_counter() - began_s)

    return routes


def _with_fields(query: SrParameters, fields: Mapping[str, str]) -> SrParameters:
    """Parameters may come in the address or as fields of a form.

    Raises:
        Problem: A field has no value that can be used, or another one than the address says.
    """
    given = query.model_dump(exclude_unset=True)
    try:
        told = SrParameters.model_validate(dict(fields)).model_dump(exclude_unset=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Problem("invalid-request", f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    for name, value in told.items():
        if given.setdefault(name, value) != value:
            raise Problem("invalid-request", f"{name} is given twice, with two values.")
    return SrParameters.model_validate(given)


def _checked(path: Path, scale: float, limits: LimitsConfig) -> bytes:
    """The image, of which only the header was looked at.

    Raises:
        Problem: It is none, or larger than is answered at once.
    """
    image = path.read_bytes()
    check_answer(check_image(image, limits), scale, limits)
    return image


def _sr_request(request: Request, image: bytes, asked: SrParameters, deadline: float) -> SrRequest:
    state = request.scope.get("state", {})
    trace = state.get("trace")
    return SrRequest(
        image=image,
        name="the image",
        scale=asked.scale or 1.0,
        deadline=deadline,
        format=asked.format,
        uncertainty=asked.uncertainty,
        seed=asked.seed,
        request_id=str(state.get("request_id", "")),
        traceparent=getattr(trace, "header", ""),
    )


def _answer(result: SrResult, model: str, seconds: float) -> Response:
    waited_s = max(seconds - result.replica_s, 0.0)
    timing = f"model;dur={1000 * result.model_s:.1f}, replica;dur={1000 * result.replica_s:.1f}"
    headers = {
        "X-Rssr-Model": model,
        "X-Rssr-Model-Version": result.version.encode("ascii", "backslashreplace").decode(),
        "X-Rssr-Seam-Score": f"{result.seam_score:.4f}",
        "Server-Timing": f"{timing}, queue;dur={1000 * waited_s:.1f}",
        "Content-Disposition": f'inline; filename="{result.file_name}"',
        "Cache-Control": "no-store",
    }
    return Response(result.data, media_type=result.media_type, headers=headers)


def _answer_kinds() -> dict[str, Any]:
    return {kind: _BINARY for kind in (*_IMAGES, "application/zip")}


def _body_kinds() -> dict[str, Any]:
    """What a body may be, for the API's description."""
    parameters = SrParameters.model_json_schema()["properties"]
    form = {
        "type": "object",
        "required": ["image"],
        "additionalProperties": False,
        "properties": {"image": _BINARY["schema"], **parameters},
    }
    content: dict[str, Any] = {kind: _BINARY for kind in (*_IMAGES, "application/octet-stream")}
    return {"required": True, "content": {**content, "multipart/form-data": {"schema": form}}}

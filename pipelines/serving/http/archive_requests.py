"""What callers send to begin an archive: as JSON, or as a form with an uploaded zip or tar."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from pipelines.serving.problems import Problem

FORM = "multipart/form-data"
UPLOAD_PART = "archive"
"""Name of the form's part that is the file."""

_Uri = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]+$")]
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_MOST_BYTES = 2**20  # of JSON
_LARGEST_SEED = 2**32 - 1
_OF_FORMS = ("model", "scale", "seed", "output")


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class NewOptions(_Body):
    """What is made beside the products' pixels."""

    uncertainty: bool = False
    """A layer that tells how far each pixel may be off; for models that can tell."""
    consistency: bool = True
    """A layer that tells how far the result, taken back to the scene's grid, is from the scene."""
    project: bool = False
    """Whether SR's mean over each LR pixel is made that pixel."""
    other_bands: bool = False
    """Whether products also have the bands that the model does not take, enlarged bicubically."""
    licence: str = Field(default="proprietary", pattern=r"^[\w.+-]+$", max_length=100)
    """Of the products, as an SPDX identifier, or `proprietary` or `other`."""


class NewArchive(_Body):
    """An archive to run."""

    input: _Uri | list[_Uri] = Field(default_factory=list, max_length=1000)
    """Scenes: prefixes (s3://bucket/in/), patterns (s3://bucket/in/**/*.tif), lists (.txt), STAC items (.json), zip or
    tar archives of images; one or several."""
    output: _Uri | None = None
    """Prefix that products, ledger and report go to; without one the service keeps them for download."""
    model: str | None = Field(default=None, max_length=200)
    """Name of a model, see GET /v1/models; without one, the default."""
    scale: float | None = Field(default=None, ge=1, le=64, allow_inf_nan=False)
    """Enlargement of each side; without one, the model's usual."""
    seed: int = Field(default=0, ge=0, le=_LARGEST_SEED)
    """For models that draw noise: same seed, same products."""
    options: NewOptions = NewOptions()
    """What else is made."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """All of the input."""
        return (self.input,) if isinstance(self.input, str) else tuple(self.input)


class NewArchiveByUri(NewArchive):
    """An archive to run that lies somewhere."""

    input: _Uri | list[_Uri] = Field(max_length=1000)
    """Scenes: prefixes (s3://bucket/in/), patterns (s3://bucket/in/**/*.tif), lists (.txt), STAC items (.json), zip or
    tar archives of images; one or several."""

    @model_validator(mode="after")
    def _names_some(self) -> "NewArchiveByUri":
        if not self.inputs:
            raise ValueError("input names no scenes")
        return self


async def sent_json(request: Request) -> NewArchive:
    """The archive that a body of JSON asks for.

    Raises:
        Problem: It is too large, or not what is taken.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            raise Problem(
                "body-too-large",
                f"A request for an archive may have {_MOST_BYTES:,} bytes.",
                "Put long lists of scenes into a .txt file and give its URI.",
            )
    try:
        return NewArchiveByUri.model_validate_json(bytes(body))
    except ValidationError as error:
        raise unusable(error) from None


def sent_form(fields: Mapping[str, str]) -> NewArchive:
    """The archive that a form asks for, beside its file.

    Raises:
        Problem: A field is not what is taken.
    """
    told: dict[str, Any] = {name: value for name, value in fields.items() if name in _OF_FORMS and value}
    told["options"] = {name: value for name, value in fields.items() if name in NewOptions.model_fields and value}
    try:
        return NewArchive.model_validate(told)
    except ValidationError as error:
        raise unusable(error) from None


def form_fields() -> tuple[str, ...]:
    """Names of a form's fields beside the file."""
    return (*_OF_FORMS, *NewOptions.model_fields)


def idempotency_key(request: Request) -> str:
    """The request's Idempotency-Key; empty for none.

    Raises:
        Problem: It is not 1 to 255 visible ASCII characters, or there are several.
    """
    keys = request.headers.getlist("Idempotency-Key")
    if not keys:
        return ""
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise Problem(
            "invalid-request",
            "The header Idempotency-Key is not one text of 1 to 255 visible ASCII characters.",
            "Send a UUID, for instance.",
        )
    return keys[0]


def digest_of(wanted: NewArchive, upload_sha256: str) -> str:
    """Equal for equal requests, whatever form they came in."""
    values = {**wanted.model_dump(mode="json"), "input": wanted.inputs, "upload": upload_sha256}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def unusable(error: ValidationError) -> Problem:
    """The problem of a request that is not what is taken, naming the first parameter that is not."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("constrained", "list["))) or "body"
    return Problem("invalid-request", f"{name}: {first['msg']}.", "See /docs for what is taken.")


def request_body() -> dict[str, Any]:
    """The request's body for the OpenAPI document: JSON, or a form with a file."""
    fields = {name: {"type": "string"} for name in form_fields()}
    form = {
        "type": "object",
        "required": [UPLOAD_PART],
        "properties": {UPLOAD_PART: {"type": "string", "format": "binary"}, **fields},
    }
    content = {"application/json": {"schema": _in_place(NewArchiveByUri)}, FORM: {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


def _in_place(model: type[BaseModel]) -> dict[str, Any]:
    """A schema without references to others."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolved(value: Any) -> Any:  # noqa: ANN401  # whatever a schema holds
        if isinstance(value, list):
            return [resolved(item) for item in value]
        if not isinstance(value, dict):
            return value
        name = str(value.get("$ref", "")).rpartition("/")[2]
        others = {key: resolved(item) for key, item in value.items() if key != "$ref"}
        return {**resolved(definitions[name]), **others} if name else others

    schema_in_place: dict[str, Any] = resolved(schema)
    return schema_in_place

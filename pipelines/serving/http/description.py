"""Problems in the API's own description: every route may answer with one."""

from typing import Any

from fastapi import FastAPI

from pipelines.serving.problems import KINDS, MEDIA_TYPE

_SCHEMA = "Problem"
_OWN_SCHEMAS = ("HTTPValidationError", "ValidationError")  # of the framework's own answers, which nobody gets


def describe_problems(app: FastAPI) -> None:
    """Make an application's OpenAPI document tell of problem documents.

    Args:
        app: Whose document it is.
    """
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if _SCHEMA not in schemas:
            for name in _OWN_SCHEMAS:
                schemas.pop(name, None)
            schemas[_SCHEMA] = problem_schema()
            for path in document["paths"].values():
                for operation in path.values():
                    _describe(operation["responses"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the framework's documented way


def problem_schema() -> dict[str, Any]:
    """JSON schema of a problem document."""
    text = {"type": "string"}
    properties = {
        "type": {"type": "string", "enum": [f"/problems/{slug}" for slug in KINDS]},
        "title": text,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {**text, "description": "What is wrong with this request."},
        "instance": {**text, "description": "Path of the request."},
        "request_id": {**text, "description": "By which the operator finds it."},
        "remedy": {**text, "description": "What to do."},
    }
    return {"type": "object", "title": _SCHEMA, "required": list(properties), "properties": properties}


def _describe(responses: dict[str, Any]) -> None:
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{_SCHEMA}"}}}
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]
    for status, response in responses.items():
        if status[0] in "45" and MEDIA_TYPE in response.get("content", {}):
            response["content"] = content
    responses["4XX"] = {"description": "The request cannot be answered.", "content": content}
    responses["5XX"] = {"description": "Not now, or never: see Retry-After.", "content": content}

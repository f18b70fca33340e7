"""Every failure as a problem document: one shape, a stable type, the request id, what to do, and no path of ours."""

import html
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.serving.http.description import describe_problems
from pipelines.serving.problems import KINDS, MEDIA_TYPE, Problem, ProblemKind
from pipelines.storage import StoreUnavailable
from rssr.errors import ImageError, ModelError, OutOfMemory, RasterError, RssrError, UserError

log = logging.getLogger(__name__)

_RETRY_AFTER_S = "5"
_MOST_FAULTS = 5  # told of one request
_LONGEST_DETAIL = 1000  # characters
_LOCAL_PATH = re.compile(r"""(?:(?<=^)|(?<=[\s'"`(\[<=,;:]))(?:file:/{1,3}|/)(?:[^\s'"`)\]>,;:/]+/)+(?=[^\s/]|$)""")
_NAMES_OF_STATUS = {
    401: "unauthorized",
    403: "forbidden-place",
    404: "not-found",
    405: "method-not-allowed",
    409: "conflict",
    413: "body-too-large",
    415: "unsupported-media-type",
    429: "too-many-archives",
    503: "busy",
}
# What the cluster raises while it repairs or scales itself, by the name of the class: nothing here imports it.
_RETRYABLE = {
    "BackPressureError": ("busy", "All replicas are busy."),
    "DeploymentUnavailableError": ("starting", "The model is not running at present."),
    "ActorDiedError": ("busy", "The process that worked on it died."),
    "ActorUnavailableError": ("busy", "The process that worked on it cannot be reached."),
    "RayActorError": ("busy", "The process that worked on it died."),
    "ReplicaUnavailableError": ("busy", "The process that worked on it cannot be reached."),
    "WorkerCrashedError": ("busy", "The process that worked on it died."),
    "NodeDiedError": ("busy", "The machine that worked on it is gone."),
    "OutOfMemoryError": ("busy", "The machine that worked on it is out of memory."),
    "ObjectLostError": ("busy", "The machine that worked on it is gone."),
    "GetTimeoutError": ("timed-out", "The answer took too long."),
    "RequestCancelledError": ("timed-out", "The request was given up."),
    "TaskCancelledError": ("timed-out", "The request was given up."),
}


def install_errors(app: FastAPI) -> None:
    """Make every failure of an application answer with a problem document, and explain the kinds of problems.

    Args:
        app: Before further middleware is added to it: what lies outside sees problem documents only.
    """
    for kind in (Problem, RssrError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _answer)
    app.add_middleware(Failures)
    app.add_api_route(
        "/problems/{slug}",
        problem_page,
        methods=["GET"],
        tags=["problems"],
        summary="A kind of problem",
        description="What it means and what to do about it: a page for browsers, JSON for everybody else.",
        response_model=None,
    )
    describe_problems(app)


class Failures:
    """ASGI middleware: whatever escapes the application is answered.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            if has_begun:
                raise  # the server cuts the connection, by which the caller sees that the answer is not whole
            await problem_answer(scope, problem_of(error))(scope, receive, send)


async def problem_page(slug: str, request: Request) -> Response:
    """What a kind of problem means, as a page or as JSON.

    Args:
        slug: Name of the kind.
        request: Its Accept chooses.

    Raises:
        Problem: There is no such kind.
    """
    kind = KINDS.get(slug)
    if kind is None:
        raise Problem("not-found", "There is no such kind of problem.", f"The kinds are: {', '.join(KINDS)}.")
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(_page(slug, kind))
    told = {"type": f"/problems/{slug}", "title": kind.title, "status": kind.status, "meaning": kind.meaning}
    return JSONResponse(told)


def problem_answer(scope: Scope, problem: Problem) -> JSONResponse:
    """The answer that tells a problem.

    Args:
        scope: Of the request.
        problem: What went wrong.
    """
    request_id = str(scope.get("state", {}).get("request_id", ""))
    instance = str(scope.get("path", "")).encode("ascii", "backslashreplace").decode()[:_LONGEST_DETAIL]
    headers = {"Cache-Control": "no-store", **problem.headers}
    if problem.kind.status in (429, 503):
        headers.setdefault("Retry-After", _RETRY_AFTER_S)
    document = problem.document(instance, request_id)
    return JSONResponse(document, problem.kind.status, headers, media_type=MEDIA_TYPE)


def problem_of(error: BaseException) -> Problem:
    """Any failure as a problem; those of ours are logged with all that is known."""
    error = _origin(error)
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _of_status(error)
    if isinstance(error, RequestValidationError):
        return Problem("invalid-request", _faults(error.errors()))
    if isinstance(error, RssrError) and (slug := _slug_of(error)) is not None:
        return Problem(slug, without_paths(_told(error)), without_paths(error.remedy))
    for known in type(error).__mro__:
        if known.__module__.partition(".")[0] == "ray" and known.__name__ in _RETRYABLE:
            log.warning("A request failed and may be sent again: %s", _first_line(error))
            return Problem(*_RETRYABLE[known.__name__])
    if isinstance(error, TimeoutError):
        return Problem("timed-out", "The answer took too long.")
    log.error("A request failed for a reason that nobody foresaw", exc_info=error)
    return Problem("internal", "The request failed for a reason that nobody foresaw.")


def without_paths(text: str) -> str:
    """A text without folders of this machine; names of files stay, and so do addresses elsewhere."""
    return _LOCAL_PATH.sub("", text)[:_LONGEST_DETAIL]


async def _answer(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.slug == "method-not-allowed":
        problem = _with_all_methods(request, problem)
    return problem_answer(request.scope, problem)


def _with_all_methods(request: Request, problem: Problem) -> Problem:
    """Where several routes have one path, the framework itself names the methods of the first."""
    matching = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    methods = {name for route in matching for name in getattr(route, "methods", None) or ()}
    allowed = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
    if not allowed:
        return problem
    return Problem(problem.slug, f"This path is for {allowed}.", problem.remedy, {**problem.headers, "Allow": allowed})


def _origin(error: BaseException) -> BaseException:
    """What another process raised, and what a framework put into an error of its own."""
    inner = getattr(error, "cause", None)
    if isinstance(inner, Exception):
        return _origin(inner)
    if isinstance(error, HTTPException) and isinstance(error.__cause__, Problem | RssrError):
        return error.__cause__
    return error


def _slug_of(error: RssrError) -> str | None:
    """The kind of problem that an error of ours is; None for what is our fault."""
    kinds: Sequence[tuple[type[RssrError], str]] = (
        (StoreUnavailable, "busy"),
        (OutOfMemory, "busy"),
        (ImageError, "unreadable-image"),
        (RasterError, "unreadable-image"),
        (ModelError, "model-mismatch"),
        (UserError, "invalid-request"),
    )
    return next((slug for kind, slug in kinds if isinstance(error, kind)), None)


def _told(error: RssrError) -> str:
    return f"{error.problem} ({error.where})" if error.where else error.problem


def _of_status(error: HTTPException) -> Problem:
    status, headers = error.status_code, dict(error.headers or {})
    slug = _NAMES_OF_STATUS.get(status) or ("invalid-request" if status < 500 else "internal")
    if slug == "internal":
        log.error("A route answered with status %d: %s", status, error.detail)
        return Problem(slug, "The request failed for a reason that nobody foresaw.")
    known = {"not-found": "There is nothing at this path.", "method-not-allowed": "This path is for other methods."}
    return Problem(slug, known.get(slug) or without_paths(str(error.detail)), headers=headers)


def _faults(errors: Sequence[Mapping[str, Any]]) -> str:
    """Parameters with what is wrong with each; never the value, which may be anything."""
    told = []
    for fault in errors[:_MOST_FAULTS]:
        place, *names = (str(part)[:80] for part in fault.get("loc", ("request",)))
        named = ".".join(name for name in names if not name.isdigit() or place != "body" or len(names) > 1)
        where = f"{place} parameter '{_plain(named)}'" if place in ("query", "path", "header") else "the body"
        if place == "body" and named:
            where = f"the body's '{_plain(named)}'"
        told.append(f"{where}: {_plain(str(fault.get('msg', 'is wrong')))}")
    more = len(errors) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "") + "."


def _plain(text: str) -> str:
    """Printable, and short."""
    return re.sub(r"[^ -~]", "?", text)[:200]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _page(slug: str, kind: ProblemKind) -> str:
    title, meaning = html.escape(kind.title), html.escape(kind.meaning)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><style>body{font:1rem/1.5 system-ui,sans-serif;'
        "max-width:40rem;margin:3rem auto;padding:0 1rem}code{font-size:.9em}</style></head>"
        f"<body><h1>{title}</h1><p>{meaning}</p><p>Type <code>/problems/{slug}</code>, status {kind.status}. "
        "The answer's <code>detail</code> says what was wrong with the request, <code>remedy</code> what can be done, "
        "and its <code>request_id</code> is what the operator finds it by.</p></body></html>"
    )

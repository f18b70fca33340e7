"""/v1/archives: begin an archive, watch it, fetch its products, cancel it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from pipelines.bulk.result import Outcome
from pipelines.serving.archives.api import (
    Archive,
    ArchiveApi,
    ArchivePage,
    ChosenModel,
    ItemPage,
    PageQuery,
    Places,
)
from pipelines.serving.archives.ids import is_archive_id, new_archive_id
from pipelines.serving.archives.places import require_apart
from pipelines.serving.archives.records import ArchiveOptions, ArchiveRequest, ArchiveState
from pipelines.serving.archives.uploads import archive_ending, upload_key
from pipelines.serving.caller import Caller
from pipelines.serving.http.archive_requests import (
    FORM,
    NewArchive,
    digest_of,
    idempotency_key,
    request_body,
    sent_form,
    sent_json,
)
from pipelines.serving.http.file_answers import file_answer
from pipelines.serving.problems import MEDIA_TYPE, Problem
from pipelines.storage import StorageSettings, Store
from rssr.errors import StorageError

PATH = "/v1/archives"

# The report is one page that holds all it shows; it runs apart from this service's own pages.
_REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; sandbox allow-scripts allow-popups"
)
_LONGEST_CURSOR = 1024
_LATER = 503
_REPLAYED = "Idempotency-Replayed"


class Sent(Protocol):
    """A file that came with a form."""

    @property
    def path(self) -> Path:
        """Where it lies until the request is answered."""

    @property
    def sha256(self) -> str:
        """Its digest."""

    @property
    def fields(self) -> Mapping[str, str]:
        """What else the form holds."""


Receive = Callable[[Request], AbstractAsyncContextManager[Sent]]
"""Streams the form's file to disk under the service's limits; the form's fields are `form_fields()`."""


@dataclass(frozen=True)
class ArchiveDoor:
    """What the routes need.

    Attributes:
        api: Who keeps archives.
        root: The service's own place, as `ArchiveService` has it.
        places: Where callers may read and write.
        choose_model: From a name to the version that is served now; None is the default. Raises `model-unknown`.
        receive: Takes a form.
        check: Raises a problem where an uploaded archive is beyond the limits; given its path and ending.
        storage: How to reach S3; None reads the environment.
    """

    api: ArchiveApi
    root: Store
    places: Places
    choose_model: Callable[[str | None], Awaitable[ChosenModel]]
    receive: Receive
    check: Callable[[Path, str], None]
    storage: StorageSettings | None = None


def archive_routes(door: ArchiveDoor) -> APIRouter:
    """All routes below /v1/archives."""
    router = APIRouter(tags=["archives"])
    _add_making(router, door)
    _add_watching(router, door)
    _add_fetching(router, door)
    return router


def _add_making(router: APIRouter, door: ArchiveDoor) -> None:
    @router.post(
        PATH,
        status_code=201,
        response_model=Archive,
        summary="Begin an archive",
        responses=_problems(401, 403, 404, 413, 415, 422, 429, 503),
        openapi_extra={
            **request_body(),
            "parameters": [
                {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "required": False,
                    "description": "The same key and request again: the same answer, and no second archive.",
                    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
                }
            ],
        },
    )
    async def create(request: Request) -> Response:
        """Super-resolve all scenes of an archive; it is run in turn, and watched at the answer's Location."""
        return await _create(request, door)

    @router.delete(
        f"{PATH}/{{archive_id}}",
        response_model=Archive,
        summary="Cancel an archive",
        responses=_problems(401, 404, 409, 503),
    )
    async def cancel(request: Request, archive_id: str) -> Archive:
        """Let it not run, or stop; products that are finished stay. Again is no error."""
        return await door.api.cancel(_caller(request), _known(archive_id))


def _add_watching(router: APIRouter, door: ArchiveDoor) -> None:
    @router.get(PATH, response_model=ArchivePage, summary="Your archives", responses=_problems(401, 422, 503))
    async def list_archives(
        request: Request,
        state: Annotated[ArchiveState | None, Query(description="Only those in this state.")] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="At most so many.")] = 50,
        cursor: Annotated[str, Query(max_length=_LONGEST_CURSOR, description="From the page before.")] = "",
    ) -> ArchivePage:
        """The newest first, page by page."""
        if cursor and not is_archive_id(cursor):
            raise Problem("invalid-request", "cursor: it is none of this list.", "Follow `next` of the page before.")
        page = await door.api.list(_caller(request), PageQuery(state, limit, cursor))
        return page.model_copy(update={"next": _next(PATH, page.next, limit, state)})

    @router.get(
        f"{PATH}/{{archive_id}}", response_model=Archive, summary="One archive", responses=_problems(401, 404, 503)
    )
    async def show(request: Request, archive_id: str) -> Archive:
        """How it stands: state, place in the queue, progress, counts, rate."""
        return await door.api.show(_caller(request), _known(archive_id))

    @router.get(
        f"{PATH}/{{archive_id}}/items",
        response_model=ItemPage,
        summary="Products and failures",
        responses=_problems(401, 404, 422, 503),
    )
    async def items(
        request: Request,
        response: Response,
        archive_id: str,
        state: Annotated[Outcome | None, Query(description="Only scenes of this outcome.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100,
        cursor: Annotated[str, Query(max_length=_LONGEST_CURSOR, description="From the page before.")] = "",
    ) -> ItemPage:
        """Scenes by name, page by page: those that are finished or refused, unless another state is asked for."""
        page = await door.api.items(_caller(request), _known(archive_id), PageQuery(state, limit, cursor))
        link = _next(f"{PATH}/{archive_id}/items", page.next, limit, state)
        if link is not None:
            response.headers["Link"] = f'<{link}>; rel="next"'
        return page.model_copy(update={"next": link})


def _add_fetching(router: APIRouter, door: ArchiveDoor) -> None:
    @router.get(
        f"{PATH}/{{archive_id}}/report",
        response_class=HTMLResponse,
        summary="The page of an archive",
        responses=_problems(401, 404, 409, 503),
    )
    async def report(request: Request, archive_id: str) -> Response:
        """What came of it, with pictures and measures; there once it has ended."""
        page = await door.api.report(_caller(request), _known(archive_id))
        return HTMLResponse(page, headers={"Content-Security-Policy": _REPORT_POLICY, "Cache-Control": "no-cache"})

    @router.get(
        f"{PATH}/{{archive_id}}/files/{{path:path}}",
        response_class=Response,
        summary="A file of a product",
        responses={**_problems(401, 404, 503), **_FILE_ANSWERS},
    )
    async def file(request: Request, archive_id: str, path: str) -> Response:
        """Whole, or the range that is asked for; of archives without an output of their own."""
        found = await door.api.file(_caller(request), _known(archive_id), path)
        return file_answer(request, found, door.storage)


async def _create(request: Request, door: ArchiveDoor) -> Response:
    caller, key = _caller(request), idempotency_key(request)
    await door.api.admit(caller, key)
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type == FORM:
        async with door.receive(request) as sent:
            return await _create_of_upload(request, door, sent)
    if media_type not in ("application/json", ""):
        raise Problem(
            "unsupported-media-type",
            f"An archive is asked for by application/json or {FORM}.",
            "Send JSON with input URIs, or a form with a zip or tar as part `archive`.",
        )
    wanted = await sent_json(request)
    await asyncio.to_thread(_check_places, door, wanted, caller)
    return await _take(request, door, await _request(request, door, wanted))


async def _create_of_upload(request: Request, door: ArchiveDoor, sent: Sent) -> Response:
    wanted = sent_form(sent.fields)
    ending = archive_ending(sent.path)
    await asyncio.to_thread(door.check, sent.path, ending)
    await asyncio.to_thread(_check_places, door, wanted, _caller(request))
    archive = await _request(request, door, wanted, ending, sent.sha256)
    await asyncio.to_thread(door.root.upload_file, sent.path, archive.upload)
    try:
        response = await _take(request, door, archive)
    except Problem as problem:
        if problem.kind.status != _LATER:  # else it may have been taken; the runner finds out whether it is needed
            await _forget_upload(door, archive)
        raise
    if _REPLAYED in response.headers:
        await _forget_upload(door, archive)
    return response


async def _forget_upload(door: ArchiveDoor, archive: ArchiveRequest) -> None:
    with suppress(StorageError):  # the runner sweeps up what is left
        await asyncio.to_thread(door.root.delete, archive.upload)


async def _request(
    request: Request, door: ArchiveDoor, wanted: NewArchive, ending: str = "", upload_sha256: str = ""
) -> ArchiveRequest:
    model, archive_id = await door.choose_model(wanted.model), new_archive_id()
    return ArchiveRequest(
        id=archive_id,
        caller=_caller(request).name,
        input=wanted.inputs,
        output=wanted.output,
        model=model.name,
        model_source=model.source,
        scale=model.scale if wanted.scale is None else wanted.scale,
        seed=wanted.seed,
        options=ArchiveOptions(**wanted.options.model_dump()),
        upload=upload_key(archive_id, ending) if ending else "",
        digest=digest_of(wanted, upload_sha256),
        idempotency_key=idempotency_key(request),
        request_id=str(getattr(request.state, "request_id", "")),
    )


async def _take(request: Request, door: ArchiveDoor, archive: ArchiveRequest) -> Response:
    created = await door.api.create(archive)
    headers = {"Location": created.archive.links.self}
    if created.is_replay:
        headers[_REPLAYED] = "true"
    return JSONResponse(created.archive.model_dump(mode="json"), 201, headers)


def _check_places(door: ArchiveDoor, wanted: NewArchive, caller: Caller) -> None:
    for uri in wanted.inputs:
        door.places.check_read(uri, caller.name)
        require_apart(uri, door.root.uri)
    if wanted.output is not None:
        door.places.check_write(wanted.output)
        require_apart(wanted.output, door.root.uri)


def _caller(request: Request) -> Caller:
    caller: Caller = getattr(request.state, "caller", Caller())
    return caller


def _known(archive_id: str) -> str:
    """An id as it may be one; anything else is not there, and not looked for."""
    if not is_archive_id(archive_id):
        raise Problem("not-found", "There is no such archive.", "GET /v1/archives lists yours.")
    return archive_id


def _next(path: str, cursor: str | None, limit: int, state: str | None) -> str | None:
    if cursor is None:
        return None
    return f"{path}?{urlencode({**({'state': state} if state else {}), 'limit': limit, 'cursor': cursor})}"


_FILE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"application/octet-stream": {}}},
    206: {"description": "The range of it that was asked for."},
    304: {"description": "What If-None-Match names is what there is."},
    416: {"description": "The range lies behind the end."},
}

_Status = Literal[401, 403, 404, 409, 413, 415, 422, 429, 503]
_SAID: dict[_Status, str] = {
    401: "No valid key.",
    403: "A place that may not be used.",
    404: "Nothing is here.",
    409: "Not in this state.",
    413: "Too large.",
    415: "No kind that is read.",
    422: "The request cannot be used.",
    429: "Too many archives.",
    503: "Later; see Retry-After.",
}


def _problems(*statuses: _Status) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": _SAID[status], "content": {MEDIA_TYPE: {}}} for status in statuses}

"""Middleware within Ray Serve's proxies: what they answer themselves has the shape of all other answers.

A proxy answers itself while an ingress replica starts, is full or has died under a request: with plain text, and with
status 500, which tells nobody to try again. It also adds the request id a second time.
"""

import json
import re
from uuid import uuid4

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.serving.problems import MEDIA_TYPE, Problem

CALLBACK = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": f"{__name__}.proxy_middlewares"}
"""Environment variable from which proxies know what to call when they start."""

_OURS = b"traceresponse"  # a header of all that the application answers
_REQUEST_ID = b"x-request-id"
_USUAL_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_OWN_PATHS = "/-/"  # health and routes of the proxy
_RETRY_S = "2"


def proxy_middlewares() -> list[Middleware]:
    """Called by each proxy when it starts."""
    return [Middleware(ProxyAnswers)]


class ProxyAnswers:
    """Turns a proxy's own failures into problem documents that say when to come again.

    Args:
        app: The proxy.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        if scope["type"] != "http" or scope["path"].startswith(_OWN_PATHS):
            await self._app(scope, receive, send)
            return
        request_id = _fit_request_id(scope)
        answer = _ProxyAnswer(send, scope["path"], request_id)
        try:
            await self._app(scope, receive, answer)
        except Exception:
            if answer.has_begun:
                raise
        if not answer.has_begun:
            await answer.tell(_died())


class _ProxyAnswer:
    """Passes on what the application answers, and says otherwise what the proxy does."""

    def __init__(self, send: Send, path: str, request_id: bytes) -> None:
        self._send = send
        self._path = path
        self._request_id = request_id
        self.has_begun = False
        self._is_told = False

    async def __call__(self, message: Message) -> None:
        """Send a piece."""
        if message["type"] != "http.response.start":
            if not self._is_told:
                await self._send(message)
            return
        headers = [(name.lower(), value) for name, value in message.get("headers", ())]
        if message["status"] >= 400 and not any(name == _OURS for name, _ in headers):
            await self.tell(_meant_by(message["status"]))
            return
        self.has_begun = True
        others = [(name, value) for name, value in headers if name != _REQUEST_ID]
        await self._send({**message, "headers": [*others, (_REQUEST_ID, self._request_id)]})

    async def tell(self, problem: Problem) -> None:
        """Answer with a problem."""
        self.has_begun = self._is_told = True
        document = problem.document(self._path, self._request_id.decode())
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"retry-after", _RETRY_S.encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (_REQUEST_ID, self._request_id),
        ]
        await self._send({"type": "http.response.start", "status": problem.kind.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": json.dumps(document).encode()})


def _fit_request_id(scope: Scope) -> bytes:
    """The request's id; the proxy would repeat whatever the caller sends."""
    given = [value for name, value in scope["headers"] if name.lower() == _REQUEST_ID]
    fit = given[0] if len(given) == 1 and _USUAL_ID.fullmatch(given[0]) else uuid4().hex.encode()
    others = [(name, value) for name, value in scope["headers"] if name.lower() != _REQUEST_ID]
    scope["headers"] = [*others, (_REQUEST_ID, fit)]
    return fit


def _meant_by(status: int) -> Problem:
    if status == 404:
        return Problem("starting", "The service is starting, or ending.")
    if status == 408:
        return Problem("timed-out", "The request took longer than it may.")
    if status in (429, 503):
        return Problem("busy", "More requests have come than can wait.")
    return _died()


def _died() -> Problem:
    return Problem("busy", "The process that had the request died.")

"""What Ray Serve's proxies answer by themselves, told as the service tells it: retryable, and as problem documents.

A proxy stands before the ingress. Where the ingress dies with a request, has too many, or is not there yet, the proxy
would say `500 Internal Server Error` or some other line of text; and it adds a second `X-Request-Id`, however long the
caller's was. Proxies read `CALLBACK` from the environment of their node.
"""

import logging
import re
import secrets

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.serving.http.errors import problem_answer
from pipelines.serving.problems import Problem

log = logging.getLogger(__name__)

CALLBACK = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": f"{__name__}.middlewares"}
"""Environment variable of nodes, whose proxies then use this module."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_LEAST_FAILURE = 400
_TEXT = "text/plain"
_RETRY_S = "2"
_DIED = Problem("busy", "The process that worked on it has ended.", headers={"Retry-After": _RETRY_S})
_OF_STATUS = {
    404: Problem("starting", "The service is not there yet.", headers={"Retry-After": _RETRY_S}),
    408: Problem("timed-out", "The answer took too long.", headers={"Retry-After": "10"}),
    500: _DIED,
    503: Problem("busy", "The service has as much to do as it may.", headers={"Retry-After": _RETRY_S}),
}


def middlewares() -> list[Middleware]:
    """Called by each proxy as it starts."""
    return [Middleware(ProxyAnswers)]


class ProxyAnswers:
    """Stands before a proxy; the application's own answers, which are never plain text when they fail, pass.

    Args:
        app: The proxy.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = MutableHeaders(raw=list(scope["headers"]))
        given = headers.getlist("x-request-id")
        plain = len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) is not None
        request_id = headers["x-request-id"] = given[0] if plain else secrets.token_hex(16)
        answer = _Answer(send, request_id)
        try:
            await self._app({**scope, "headers": headers.raw}, receive, answer)
        except Exception:
            if answer.has_begun:
                raise
            log.exception("A proxy failed.")
        if answer.instead is None and answer.has_begun:
            return
        told = {**scope, "state": {"request_id": request_id}}
        response = problem_answer(told, answer.instead or _DIED)
        response.headers["X-Request-Id"] = request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        await response(scope, receive, send)


class _Answer:
    """The answer on its way, unless it is the proxy's own: then that is held back.

    Attributes:
        has_begun: Whether there was one.
        instead: What is told in place of the proxy's own; None for the application's.
    """

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.has_begun = False
        self.instead: Problem | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(raw=list(message.get("headers", ())))
            if message["status"] >= _LEAST_FAILURE and headers.get("content-type", "").startswith(_TEXT):
                self.instead = _OF_STATUS.get(message["status"], _DIED)
            headers["X-Request-Id"] = self._request_id  # one, where there were several
            message = {**message, "headers": headers.raw}
        if self.instead is None:
            await self._send(message)

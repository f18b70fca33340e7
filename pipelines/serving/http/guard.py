"""ASGI middleware before every route: request id, key, size of the body, and headers that browsers obey."""

import asyncio
import contextlib
import re
import time
from urllib.parse import urlsplit
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.serving.caller import Caller
from pipelines.serving.http.errors import problem_answer, problem_of
from pipelines.serving.problems import Problem
from pipelines.serving.security.config import LimitsConfig
from pipelines.serving.security.keys import Keys, is_loopback, unauthorized

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OPEN_PATHS = frozenset({"/", "/livez", "/readyz", "/docs"})
_OPEN_FOLDERS = ("/problems/", "/page/")
_IMAGES, _ARCHIVES = "/v1/super-resolve", "/v1/archives"
_GRACE_S = 10.0  # before the pace of a body counts
_FORM_BYTES = 64 * 2**10  # boundaries, headers and fields around a file
_MOST_DIGITS = 18
_MOST_DROPPED = 8 * 2**20  # bytes of a body that nobody wants
_DROP_S = 1.0
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Guard:
    """What every request passes.

    It sets `request.state.request_id` and `request.state.caller`, and answers itself where there is no valid key or the
    body is too large. HEAD is answered as GET without the body; `request.state.is_head` tells routes that need not make
    it.

    Args:
        app: The application.
        keys: Whose requests are taken.
        limits: Of bodies.
    """

    def __init__(self, app: ASGIApp, keys: Keys, limits: LimitsConfig) -> None:
        self._app = app
        self._keys = keys
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at the request and hand it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # there are no web sockets
        headers, state = Headers(scope=scope), scope.setdefault("state", {})
        request_id: str = state.setdefault("request_id", _request_id(headers))  # whoever logs outside may have chosen
        body = _Body(receive, self._limit(scope, headers), headers, self._limits)
        answer = _Answer(send, body, request_id, scope["method"])
        try:
            state["caller"] = None if _is_open(_path(scope)) else self._caller(headers)
            body.check_announced()
        except Problem as problem:
            await problem_answer(scope, problem)(scope, receive, answer)
            return
        state["is_head"] = scope["method"] == "HEAD"
        inner = {**scope, "method": "GET"} if state["is_head"] else scope
        try:
            await self._app(inner, body, answer)
        except Exception as error:
            if answer.has_begun:
                raise
            await problem_answer(scope, problem_of(error))(scope, receive, answer)

    def _caller(self, headers: Headers) -> Caller:
        if not self._keys.are_needed:
            _require_own(headers)
        return self._keys.caller(headers.get("authorization"))

    def _limit(self, scope: Scope, headers: Headers) -> int:
        """Bytes that the body of this request may have."""
        path, limits = _path(scope), self._limits
        if path == _IMAGES:
            return limits.max_body_bytes + _FORM_BYTES
        if path == _ARCHIVES and headers.get("content-type", "").lower().startswith("multipart/"):
            return limits.max_upload_bytes + _FORM_BYTES
        return limits.max_json_bytes


class _Body:
    """The body, counted and timed; also where its length was not announced."""

    def __init__(self, receive: Receive, limit: int, headers: Headers, limits: LimitsConfig) -> None:
        self._receive = receive
        self._limit = limit
        self._limits = limits
        self._num_bytes = 0
        self._is_over = False
        self._began_s = time.monotonic()
        self._announced = headers.get("content-length", "0")
        self._waits = "expect" in headers  # for our word to go on

    def check_announced(self) -> None:
        """Look at the length that the request announces.

        Raises:
            Problem: It is too large, or no number.
        """
        announced = self._announced
        if not (announced.isascii() and announced.isdigit()):
            raise Problem("invalid-request", "The header Content-Length is no number.")
        if len(announced) > _MOST_DIGITS or int(announced) > self._limit:
            raise body_too_large(self._limit)

    async def drop_rest(self) -> bool:
        """Read what is left of it, where that is little; returns whether nothing is left.

        A connection that closes on bytes still under way would take the answer with it.
        """
        if self._waits or self._announced.rjust(_MOST_DIGITS) > str(_MOST_DROPPED).rjust(_MOST_DIGITS):
            return self._is_over
        dropped = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DROP_S):
                while not self._is_over and dropped <= _MOST_DROPPED:
                    message = await self._receive()
                    dropped += len(message.get("body", b""))
                    self._is_over = not message.get("more_body", False)
        return self._is_over

    async def __call__(self) -> Message:
        """The next piece.

        Raises:
            Problem: It makes the body too large, or takes too long.
        """
        if self._is_over:
            return await self._receive()  # whether the caller is still there
        try:
            async with asyncio.timeout(self._limits.idle_timeout_s):
                message = await self._receive()
        except TimeoutError:
            raise _too_slow(f"Nothing came for {self._limits.idle_timeout_s:g} s.") from None
        self._is_over = not message.get("more_body", False)
        self._num_bytes += len(message.get("body", b""))
        if self._num_bytes > self._limit:
            raise body_too_large(self._limit)
        self._check_pace()
        return message

    def _check_pace(self) -> None:
        passed_s, limits = time.monotonic() - self._began_s, self._limits
        if self._is_over or passed_s < _GRACE_S:
            return
        if passed_s > limits.upload_timeout_s or self._num_bytes < limits.min_bytes_per_s * (passed_s - _GRACE_S):
            raise _too_slow(f"{self._num_bytes:,} bytes came in {passed_s:.0f} s.")


class _Answer:
    """The answer with the headers that all have; without its body where that was not asked for."""

    def __init__(self, send: Send, body: _Body, request_id: str, method: str) -> None:
        self._send = send
        self._body = body
        self._request_id = request_id
        self._is_head = method == "HEAD"
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        """Send a piece."""
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(raw=list(message.get("headers", ())))
            headers["X-Request-Id"] = self._request_id
            if not await self._body.drop_rest():
                headers["Connection"] = "close"
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if headers.get("content-type", "").startswith("text/html"):
                headers.setdefault("Content-Security-Policy", _PAGE_POLICY)
            message = {**message, "headers": headers.raw}
        elif self._is_head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


def body_too_large(limit: int) -> Problem:
    """The answer to more bytes than are taken."""
    return Problem("body-too-large", f"The body has more than {limit:,} bytes.")


def _too_slow(detail: str) -> Problem:
    return Problem("timed-out", f"The body comes too slowly. {detail}")


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex


def _path(scope: Scope) -> str:
    """Below the place where the application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "").rstrip("/")) or "/"


def _is_open(path: str) -> bool:
    return path in _OPEN_PATHS or path.startswith(_OPEN_FOLDERS)


def _require_own(headers: Headers) -> None:
    """Without keys, refuse what a page of somebody else's made this machine's browser ask.

    Raises:
        Problem: The request comes from elsewhere.
    """
    host = _host_of(f"//{headers.get('host', '')}")
    origin = headers.get("origin")
    is_foreign = origin is not None and not is_loopback(_host_of(origin))
    if not is_loopback(host) or is_foreign or headers.get("sec-fetch-site") == "cross-site":
        raise unauthorized("Without keys, this service answers to the machine that it runs on, under its own name.")


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""

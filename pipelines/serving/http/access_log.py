"""Middleware around everything else: each request's trace and id, its line in the log, and its counts."""

import logging
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.serving.telemetry.logs import about
from pipelines.serving.telemetry.metrics import UNKNOWN_ROUTE, ServiceMetrics
from pipelines.serving.telemetry.trace import TraceContext, continue_trace

log = logging.getLogger(__name__)

ROUTES = (
    "/",
    "/page/{path:path}",
    "/docs",
    "/openapi.json",
    "/problems/{slug}",
    "/livez",
    "/readyz",
    "/metrics",
    "/v1/super-resolve",
    "/v1/models",
    "/v1/archives",
    "/v1/archives/{id}",
    "/v1/archives/{id}/items",
    "/v1/archives/{id}/report",
    "/v1/archives/{id}/files/{path:path}",
)
"""Paths that are told apart in logs and counts. Others are `UNKNOWN_ROUTE`."""

_PROBES = frozenset(("/livez", "/readyz", "/metrics"))
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_GONE = 499
_FAILED = 500


class AccessLog:
    """The outermost middleware.

    It sets `scope["state"]["request_id"]`, the caller's where that is fit to be repeated, which everything inside uses;
    names request and trace on all log lines inside; and answers with `traceresponse`.

    Args:
        app: What it stands around.
        metrics: This process's counters.
    """

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope)
        self._metrics.request_began(exchange.route)
        hop = exchange.hop
        with about(request_id=exchange.request_id, trace_id=hop.trace_id, span_id=hop.span_id):
            try:
                await self._app(scope, exchange.receiving(receive), exchange.sending(send))
            except Exception:
                exchange.status = exchange.status or _FAILED
                raise
            finally:
                self._metrics.request_ended(exchange.route)
                self._tell(exchange)

    def _tell(self, exchange: "_Exchange") -> None:
        seconds = time.perf_counter() - exchange.began_at
        status = exchange.status or _GONE
        self._metrics.request_done(exchange.route, exchange.method, status, seconds)
        level = logging.DEBUG if exchange.route in _PROBES and status < _FAILED else logging.INFO
        log.log(level, "request", extra={"fields": exchange.fields(status, seconds)})


@dataclass
class _Exchange:
    """A request and its answer, as far as they have come."""

    scope: Scope
    status: int = 0
    num_in: int = 0
    num_out: int = 0
    began_at: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        headers: list[tuple[bytes, bytes]] = self.scope["headers"]
        self.method = str(self.scope["method"])
        self.route = route_of(_path(self.scope))
        self.hop: TraceContext = continue_trace(_values(headers, b"traceparent"), _values(headers, b"tracestate"))
        state: dict[str, Any] = self.scope.setdefault("state", {})
        self.request_id = state.setdefault("request_id", request_id_of(headers))
        state["trace"] = self.hop
        self._state = state

    def receiving(self, receive: Receive) -> Receive:
        async def counted() -> Message:
            message = await receive()
            self.num_in += len(message.get("body", b""))
            return message

        return counted

    def sending(self, send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                trace = (b"traceresponse", self.hop.header.encode())
                message = {**message, "headers": [*message.get("headers", ()), trace]}
            self.num_out += len(message.get("body", b""))
            await send(message)

        return counted

    def fields(self, status: int, seconds: float) -> dict[str, Any]:
        """Of its line in the log."""
        told: dict[str, Any] = {
            "method": self.method[:16],
            "route": self.route,
            "status": status,
            "seconds": round(seconds, 4),
            "bytes_in": self.num_in,
            "bytes_out": self.num_out,
        }
        caller = getattr(self._state.get("caller"), "name", "")
        return {
            **told,
            **({"caller": caller} if caller else {}),
            **({"parent_id": self.hop.parent_id} if self.hop.parent_id else {}),
        }


def route_of(path: str) -> str:
    """Which of `ROUTES` a path belongs to, or `UNKNOWN_ROUTE`."""
    return next((route for route, pattern in _PATTERNS if pattern.fullmatch(path)), UNKNOWN_ROUTE)


def request_id_of(headers: list[tuple[bytes, bytes]]) -> str:
    """The caller's own id for a request where it is short and plain, else a new one."""
    given = _values(headers, b"x-request-id")
    return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else secrets.token_hex(16)


def _path(scope: Scope) -> str:
    """Below the place where the application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(str(scope.get("root_path", "")).rstrip("/")) or "/"


def _values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


def _pattern(route: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+(?::path)?\})", route)
    return re.compile("".join(_part(part) for part in parts), re.DOTALL)


def _part(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    return ".+" if part.endswith(":path}") else "[^/]+"


_PATTERNS = tuple((route, _pattern(route)) for route in ROUTES)

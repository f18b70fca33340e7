"""Requests that outlast a busy or restarting service: repeated as it asks, within bounds, and never redirected."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from rssr.client.bodies import Body, BytesBody
from rssr.client.errors import ServiceError
from rssr.errors import UserError

AnswerT = TypeVar("AnswerT")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 15.0
_BLOCK_BYTES = 2**16
_MOST_OF_AN_ERROR = 2**16


@dataclass(frozen=True)
class Patience:
    """How long a client tries.

    Attributes:
        timeout_s: Longest silence of the service within one attempt.
        max_attempts: Of one request.
        max_wait_s: Pauses between attempts, all together.
    """

    timeout_s: float = 120.0
    max_attempts: int = 8
    max_wait_s: float = 60.0


@dataclass(frozen=True)
class Ask:
    """A request.

    Attributes:
        method: Of HTTP; all methods are sent again when they fail for the moment.
        path: Below the service's URL.
        params: Query; None values are left out.
        headers: Further ones.
        body: What is sent.
    """

    method: str
    path: str
    params: Mapping[str, str | None] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        headers: Names without regard to case.
        content: The body.
    """

    headers: http.client.HTTPMessage
    content: bytes

    def json(self) -> Any:  # noqa: ANN401  # whatever the service sends
        """The body, read as JSON.

        Raises:
            ServiceError: It is none.
        """
        try:
            return json.loads(self.content)
        except ValueError:
            raise ServiceError(
                "The answer is not JSON.", "Check that the URL is that of a service of rssr.", status=200
            ) from None


class Transport:
    """Connections to one service, one a thread, kept open between requests.

    Args:
        url: Of the service, e.g. `https://sr.example.org`.
        key: Sent as bearer token; None for a service that asks for none.
        patience: How long to try.

    Raises:
        UserError: The URL is none.
    """

    def __init__(self, url: str, key: str | None, patience: Patience) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"'{url}' is no URL of a service.", "Write it like http://127.0.0.1:8000.")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._base = parts.path.rstrip("/")
        self._url = url
        self._key = key
        self._patience = patience
        self._kept = threading.local()

    def request(self, ask: Ask) -> Answer:
        """Ask, again where that may help, and read the whole answer.

        Raises:
            ServiceError: It failed for good, or as often as was to be tried.
        """
        return self._patiently(ask, self._attempt)

    @contextmanager
    def download(self, ask: Ask) -> Iterator[http.client.HTTPResponse]:
        """Ask, again where that may help, and read the answer in pieces.

        Raises:
            ServiceError: See `request`.
        """
        connection, response = self._patiently(ask, self._open)
        with closing(connection):
            yield response

    def close(self) -> None:
        """Close this thread's connection; a later request opens another."""
        connection = getattr(self._kept, "connection", None)
        self._kept.connection = None
        if connection is not None:
            connection.close()

    def broken(self, error: Exception) -> ServiceError:
        """What a connection's failure means to a caller."""
        if isinstance(error, TimeoutError):
            return ServiceError(
                f"{self._url} was silent for {self._patience.timeout_s:g} s.",
                "Give a longer timeout_s, or send the scene as an archive.",
            )
        reason = " ".join(str(error).split()) or type(error).__name__
        return ServiceError(f"{self._url} does not answer: {reason}.", "Check that the service runs, and its URL.")

    def _patiently(self, ask: Ask, attempt: Callable[[Ask], AnswerT]) -> AnswerT:
        waited_s = 0.0
        for number in range(1, self._patience.max_attempts + 1):
            try:
                return attempt(ask)
            except ServiceError as error:
                pause_s = _pause_s(error, number)
                last = number == self._patience.max_attempts or waited_s + pause_s > self._patience.max_wait_s
                if last or not error.is_temporary or (_was_slow(error) and ask.method != "GET"):
                    raise
                time.sleep(pause_s)
                waited_s += pause_s
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, ask: Ask) -> Answer:
        kept = getattr(self._kept, "connection", None)
        self._kept.connection = None
        if kept is not None:
            try:
                return self._exchange(ask, kept)
            except ServiceError as error:
                if error.status is not None or _was_slow(error):
                    raise
                # A service may close a connection that was idle: that says nothing of its health.
        return self._exchange(ask, self._connect())

    def _exchange(self, ask: Ask, connection: http.client.HTTPConnection) -> Answer:
        connection, response = self._open(ask, connection)
        try:
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self.broken(error) from error
        if response.will_close:
            connection.close()
        else:
            self._kept.connection = connection
        return Answer(response.headers, content)

    def _open(
        self, ask: Ask, connection: http.client.HTTPConnection | None = None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send, and read the head of an answer that is a success."""
        connection = connection or self._connect()
        try:
            self._send(connection, ask)
            response = connection.getresponse()
            if 200 <= response.status < 300:
                return connection, response
            error = _failure(response, response.read(_MOST_OF_AN_ERROR))
        except (OSError, http.client.HTTPException) as broken:
            connection.close()
            raise self.broken(broken) from broken
        connection.close()
        raise error

    def _send(self, connection: http.client.HTTPConnection, ask: Ask) -> None:
        headers = {"Accept": "*/*", "User-Agent": "rssr-client", **ask.headers}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        body = ask.body or (BytesBody(b"") if ask.method == "POST" else None)
        target = self._target(ask)
        if body is None:
            connection.request(ask.method, target, headers=headers)
            return
        headers |= {"Content-Type": body.media_type, "Content-Length": str(body.num_bytes)}
        with body.opened() as stream:
            try:
                connection.request(ask.method, target, body=stream, headers=headers)
            except (BrokenPipeError, ConnectionResetError):
                if connection.sock is None:
                    raise
                # Refused before all was sent, perhaps: then the answer says why.

    def _target(self, ask: Ask) -> str:
        path = ask.path if self._base and ask.path.startswith(f"{self._base}/") else self._base + ask.path
        query = urlencode({name: value for name, value in ask.params.items() if value is not None})
        return f"{path}{'&' if '?' in path else '?'}{query}" if query else path

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._patience.timeout_s, blocksize=_BLOCK_BYTES)


def json_body(document: Any) -> BytesBody:  # noqa: ANN401  # whatever JSON holds
    """A document as a body."""
    return BytesBody(json.dumps(document, allow_nan=False).encode(), "application/json")


def path_of(link: str) -> str:
    """Path and query of a link that the service gave. Its host is not asked: the key is for this service alone."""
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _was_slow(error: ServiceError) -> bool:
    return error.status is None and isinstance(error.__cause__, TimeoutError)


def _pause_s(error: ServiceError, number: int) -> float:
    """As long as the service asks, else longer each time; a little more or less, so that callers spread out."""
    pause_s = min(_FIRST_PAUSE_S * 2.0 ** (number - 1), _LONGEST_PAUSE_S)
    if error.retry_after_s is not None:
        return error.retry_after_s + random.uniform(0, 0.1 * error.retry_after_s + 0.05)
    return pause_s * random.uniform(0.75, 1.25)


def _failure(response: http.client.HTTPResponse, content: bytes) -> ServiceError:
    """Of a problem document, or of whatever a proxy between may have sent."""
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    told: Mapping[str, Any] = document if isinstance(document, dict) else {}
    detail = told.get("detail") or told.get("title") or f"The service answered {response.status} {response.reason}."
    return ServiceError(
        str(detail),
        str(told.get("remedy") or ""),
        status=response.status,
        kind=str(told.get("type") or "").removeprefix("/problems/"),
        request_id=str(told.get("request_id") or response.headers.get("X-Request-Id") or ""),
        retry_after_s=_seconds(response.headers.get("Retry-After")),
    )


def _seconds(retry_after: str | None) -> float | None:
    """Of a number of seconds or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())

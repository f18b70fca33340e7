import importlib
import re

import pytest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.serving.http.proxy import CALLBACK, ProxyAnswers
from tests.pipelines.serving.http.live import live


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """A proxy whose replica died."""


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("a mistake")


def text(status: int, **headers: str) -> ASGIApp:
    return PlainTextResponse("Serve's own words", status, headers)


@pytest.mark.parametrize(
    ("proxy", "status", "slug"),
    [
        (nothing, 503, "busy"),
        (failing, 503, "busy"),
        (text(500), 503, "busy"),
        (text(503), 503, "busy"),
        (text(408), 503, "timed-out"),
        (text(404), 503, "starting"),
    ],
)
def test_what_a_proxy_says_by_itself_can_be_tried_again(proxy: ASGIApp, status: int, slug: str) -> None:
    with live(ProxyAnswers(proxy)) as server:
        answer = server.ask("POST", "/v1/super-resolve", b"image", x_request_id="mine")
    assert (answer.status, answer.slug, answer.headers["x-request-id"]) == (status, slug, "mine")
    assert int(answer.headers["retry-after"]) > 0
    assert b"own words" not in answer.body


async def answering_twice(scope: Scope, receive: Receive, send: Send) -> None:
    """As the service behind a proxy: both name the request."""
    given = dict(scope["headers"])[b"x-request-id"].decode()
    response = JSONResponse({"seen": given}, 503, {"X-Request-Id": given})
    response.raw_headers.append((b"x-request-id", b"another"))
    await response(scope, receive, send)


@pytest.mark.parametrize("given", ["mine", "", "a b", "x" * 65])
def test_the_application_answers_itself_and_has_one_request_id(given: str) -> None:
    with live(ProxyAnswers(answering_twice)) as server:
        answer = server.ask("GET", "/readyz", x_request_id=given)
    told = answer.headers["x-request-id"]
    assert answer.document == {"seen": told}
    assert told == given if given == "mine" else re.fullmatch(r"[0-9a-f]{32}", told)


def test_a_proxy_finds_it_by_its_name() -> None:
    (path,) = CALLBACK.values()
    module, _, name = path.rpartition(".")
    (middleware,) = getattr(importlib.import_module(module), name)()
    assert middleware.cls is ProxyAnswers

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request

from pipelines.serving.caller import Caller
from pipelines.serving.http.access_log import AccessLog, route_of
from pipelines.serving.http.errors import install_errors
from pipelines.serving.http.guard import Guard
from pipelines.serving.problems import Problem
from pipelines.serving.security.config import LimitsConfig, SecurityConfig
from pipelines.serving.security.keys import load_keys
from pipelines.serving.telemetry.counts import to_text
from pipelines.serving.telemetry.logs import JsonLines
from pipelines.serving.telemetry.metrics import ServiceMetrics
from tests.pipelines.serving.http.live import Live, live

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

log = logging.getLogger("pipelines.serving.tests")


def make_app() -> FastAPI:
    app, routes = FastAPI(), APIRouter()

    @routes.post("/v1/super-resolve")
    async def super_resolve(request: Request) -> dict[str, str]:
        body = await request.body()
        log.info("works on %d bytes", len(body))
        return {"request_id": request.state.request_id, "trace": request.state.trace.header}

    @routes.get("/v1/archives/{id}")
    async def archive(id: str) -> dict[str, str]:
        raise Problem("not-found", "Nothing is here.")

    @routes.get("/v1/models")
    async def models() -> dict[str, str]:
        raise RuntimeError("a mistake")

    @routes.get("/livez")
    async def livez() -> dict[str, str]:
        return {}

    app.include_router(routes)
    install_errors(app)
    return app


@pytest.fixture
def metrics() -> ServiceMetrics:
    return ServiceMetrics()


@pytest.fixture
def server(metrics: ServiceMetrics) -> Iterator[Live]:
    guard = Guard(make_app(), load_keys(SecurityConfig(), "127.0.0.1"), LimitsConfig(max_body_bytes=1000))
    with live(AccessLog(guard, metrics)) as running:
        yield running


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, Any]]]:
    """What the service logs, as it would be written."""
    written: list[dict[str, Any]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(json.loads(JsonLines().format(record)))

    logger, handler = logging.getLogger("pipelines.serving"), Kept()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield written
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_everything_about_a_request_has_its_id_and_trace(server: Live, lines: list[dict[str, Any]]) -> None:
    answer = server.ask("POST", "/v1/super-resolve", b"12345", traceparent=f"00-{TRACE}-{SPAN}-01", x_request_id="mine")
    inner, access = lines
    assert answer.headers["x-request-id"] == answer.document["request_id"] == "mine"
    assert inner["message"] == "works on 5 bytes"
    for line in (inner, access):
        assert (line["request_id"], line["trace_id"]) == ("mine", TRACE)
        assert answer.headers["traceresponse"] == f"00-{TRACE}-{line['span_id']}-01" == answer.document["trace"]
    assert access["parent_id"] == SPAN


def test_a_request_without_id_gets_one_for_log_and_answer(server: Live, lines: list[dict[str, Any]]) -> None:
    answer = server.ask("POST", "/v1/super-resolve", b"12345")
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
    assert {line["request_id"] for line in lines} == {answer.headers["x-request-id"], answer.document["request_id"]}


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "{}", "ü"])
def test_ids_that_are_not_plain_are_not_repeated(server: Live, lines: list[dict[str, Any]], given: str) -> None:
    server.ask("POST", "/v1/super-resolve", b"", x_request_id=given)
    assert all(line["request_id"] != given for line in lines)


def test_a_line_tells_route_status_bytes_time_and_caller(server: Live, lines: list[dict[str, Any]]) -> None:
    answer = server.ask("POST", "/v1/super-resolve", b"12345")
    access = lines[-1]
    assert {name: access[name] for name in ("message", "level", "method", "route", "status", "bytes_in", "caller")} == {
        "message": "request",
        "level": "info",
        "method": "POST",
        "route": "/v1/super-resolve",
        "status": 200,
        "bytes_in": 5,
        "caller": Caller().name,
    }
    assert access["bytes_out"] == len(answer.body)
    assert 0 <= access["seconds"] < 60


def test_paths_are_told_as_routes(server: Live, metrics: ServiceMetrics, lines: list[dict[str, Any]]) -> None:
    server.ask("GET", "/v1/archives/secret-of-a-caller")
    server.ask("GET", "/anything/else")
    assert [line["route"] for line in lines] == ["/v1/archives/{id}", "unknown"]
    text = to_text(metrics.counts())
    assert 'rssr_requests_total{method="GET",route="/v1/archives/{id}",status="404"} 1.0' in text
    assert 'rssr_requests_total{method="GET",route="unknown",status="404"} 1.0' in text
    assert "secret" not in text and "anything" not in text
    assert 'rssr_requests_in_flight{route="unknown"} 0.0' in text


def test_what_the_guard_refuses_is_told_too(server: Live, metrics: ServiceMetrics, lines: list[dict[str, Any]]) -> None:
    answer = server.ask("POST", "/v1/super-resolve", b"x" * 100_000)
    assert answer.slug == "body-too-large"
    assert lines[-1]["status"] == 413
    assert 'status="413"} 1.0' in to_text(metrics.counts())


def test_mistakes_of_ours_are_counted_as_such(
    server: Live, metrics: ServiceMetrics, lines: list[dict[str, Any]]
) -> None:
    answer = server.ask("GET", "/v1/models")
    assert answer.status == 500
    assert lines[-1]["status"] == 500
    assert any("a mistake" in line.get("error", "") for line in lines)
    assert 'route="/v1/models",status="500"} 1.0' in to_text(metrics.counts())


def test_probes_do_not_fill_the_log(server: Live, lines: list[dict[str, Any]]) -> None:
    server.ask("GET", "/livez")
    assert [line["level"] for line in lines] == ["debug"]


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/page/app.js", "/page/{path:path}"),
        ("/v1/archives", "/v1/archives"),
        ("/v1/archives/a1/files/x/y.tif", "/v1/archives/{id}/files/{path:path}"),
        ("/v1/archives/a1/other", "unknown"),
        ("/v1/archives/", "unknown"),
        ("/v1/models\n", "unknown"),
    ],
)
def test_every_path_has_one_route(path: str, route: str) -> None:
    assert route_of(path) == route

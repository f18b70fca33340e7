"""What every request passes before a route sees it."""

import http.client
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from pipelines.serving.http.errors import install_errors
from pipelines.serving.http.guard import Guard
from pipelines.serving.security.config import LimitsConfig
from pipelines.serving.security.keys import Keys
from rssr.service_keys import key_line, new_key
from tests.pipelines.serving.http.live import Answer, Live, answer_of, live

KEY = new_key()
LIMITS = LimitsConfig(max_body_bytes=1000, max_json_bytes=100, max_upload_bytes=5000, idle_timeout_s=0.3)


def make_app(keys: Keys) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/super-resolve")
    @app.post("/v1/archives")
    @app.post("/other")
    async def take(request: Request) -> int:
        return len(await request.body())

    @app.get("/v1/models")
    async def tell(request: Request) -> str:
        return f"{request.state.caller.name} {request.state.request_id}"

    @app.get("/", response_class=HTMLResponse)
    @app.get("/livez")
    async def show() -> str:
        return "<p>page"

    install_errors(app)
    app.add_middleware(Guard, keys=keys, limits=LIMITS)
    return app


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(make_app(Keys(lines=key_line("anna", KEY)))) as server:
        yield server


@pytest.fixture(scope="module")
def without_keys() -> Iterator[Live]:
    with live(make_app(Keys())) as server:
        yield server


def test_the_caller_is_known_by_the_key(server: Live) -> None:
    answer = server.ask("GET", "/v1/models", authorization=f"bearer {KEY}", x_request_id="a.B-1_")
    assert answer.body == b'"anna a.B-1_"'
    assert answer.headers["x-request-id"] == "a.B-1_"


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", f"Basic {KEY}", f"Bearer {KEY[:-1]}", "Bearer rssr_\xff", KEY],
    ids=["nothing", "empty", "no key", "another scheme", "cut off", "not ASCII", "no scheme"],
)
def test_without_a_key_of_ours_nothing_is_told(server: Live, given: str | None) -> None:
    headers = {} if given is None else {"authorization": given}
    answer = server.ask("GET", "/v1/models", **headers)
    assert answer.slug == "unauthorized"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert server.ask("GET", "/nothing", **headers).slug == "unauthorized"
    assert server.ask("POST", "/other", b"x" * 10_000, **headers).slug == "unauthorized"


def test_health_pages_and_problems_need_no_key(server: Live) -> None:
    assert server.ask("GET", "/livez").status == 200
    assert server.ask("GET", "/").status == 200
    assert server.ask("GET", "/problems/busy").status == 200
    assert server.ask("GET", "/page/nothing").slug == "not-found"
    assert server.ask("GET", "/livezz").slug == "unauthorized"


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "<b>", "\xe4"])
def test_request_ids_of_other_shapes_are_replaced(server: Live, given: str) -> None:
    answer = server.ask("GET", "/livez", x_request_id=given)
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


def test_browsers_are_told_what_they_may(server: Live) -> None:
    headers = server.ask("GET", "/").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert server.ask("GET", "/nothing").headers["x-content-type-options"] == "nosniff"


def test_head_is_get_without_the_body(server: Live) -> None:
    whole, head = server.ask("GET", "/"), server.ask("HEAD", "/")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]


@pytest.mark.parametrize(
    ("path", "content_type", "fits"),
    [
        ("/v1/super-resolve", "image/png", 1000),
        ("/v1/archives", "application/json", 100),
        ("/v1/archives", "multipart/form-data; boundary=x", 5000),
        ("/other", "image/png", 100),
    ],
)
def test_larger_bodies_than_a_route_takes_are_refused(server: Live, path: str, content_type: str, fits: int) -> None:
    headers = {"authorization": f"Bearer {KEY}", "content-type": content_type}
    assert server.ask("POST", path, b"x" * fits, **headers).body == str(fits).encode()
    too_large = b"x" * (fits + 64 * 2**10 + 1)
    assert server.ask("POST", path, too_large, **headers).slug == "body-too-large"
    unannounced = iter([too_large[:50], too_large[50:]])
    assert server.ask("POST", path, unannounced, **headers).slug == "body-too-large"


def begin(server: Live, num_bytes: int, sent: bytes = b"", more: str = "") -> Answer:
    """The answer to a request that announces a body and sends only a part of it."""
    with server.connected() as connection:
        head = f"POST /v1/super-resolve HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n{more}"
        connection.sendall(f"{head}Content-Length: {num_bytes}\r\n\r\n".encode() + sent)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return answer_of(response)


@pytest.mark.parametrize("more", ["", "Expect: 100-continue\r\n"])
def test_a_large_body_is_refused_before_it_is_sent(server: Live, more: str) -> None:
    for num_bytes in (100_000, 99_999_999, 10**17):
        answer = begin(server, num_bytes, more=more)
        assert answer.slug == "body-too-large"
        assert answer.headers["connection"] == "close"


def test_a_body_that_stops_ends(server: Live) -> None:
    answer = begin(server, 900, b"abc")
    assert answer.slug == "timed-out"
    assert answer.headers["retry-after"]


def test_an_answer_before_the_end_of_the_body_arrives(server: Live) -> None:
    for _ in range(20):
        answer = server.ask("POST", "/v1/super-resolve", bytes(4_000_000))  # without a key
        assert answer.slug == "unauthorized"


def test_without_keys_only_this_machine_is_answered(without_keys: Live) -> None:
    assert without_keys.ask("GET", "/v1/models").body.startswith(b'"local ')
    own = f"http://localhost:{without_keys.port}"
    assert without_keys.ask("GET", "/v1/models", origin=own, host="localhost").status == 200
    assert without_keys.ask("GET", "/v1/models", host="[::1]:80").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"host": "[x"},
    ],
)
def test_pages_of_others_cannot_use_a_service_without_keys(without_keys: Live, headers: dict[str, str]) -> None:
    assert without_keys.ask("GET", "/v1/models", **headers).slug == "unauthorized"

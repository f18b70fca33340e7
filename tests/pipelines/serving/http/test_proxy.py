"""What Ray Serve's proxies answer themselves looks like everything else, and can be tried again."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.types import Receive, Scope, Send

from pipelines.serving.http.proxy import ProxyAnswers
from tests.pipelines.bulk.imagery import png
from tests.pipelines.serving.conftest import Serving, kill_one
from tests.pipelines.serving.http.live import Live, live

TOLD = {404: ("starting", 503), 408: ("timed-out", 503), 429: ("busy", 503), 500: ("busy", 503), 503: ("busy", 503)}


async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
    """A proxy as Ray Serve has them: plain text, or nothing at all; the path says which."""
    status = scope["path"].rpartition("/")[2]
    if status == "nothing":
        return
    if status == "raised":
        raise RuntimeError("the replica died")
    headers = [(b"content-type", b"text/plain"), (b"X-Request-ID", b"the proxy's own")]
    if "ours" in scope["path"]:
        headers += [(b"traceresponse", b"00"), (b"x-request-id", b"again")]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": b"secret ", "more_body": True})
    await send({"type": "http.response.body", "body": b"details"})


@pytest.fixture(scope="module")
def fronted() -> Iterator[Live]:
    with live(ProxyAnswers(proxy)) as running:
        yield running


@pytest.mark.parametrize("status", TOLD)
def test_a_proxys_failures_are_problems_that_can_be_tried_again(fronted: Live, status: int) -> None:
    answer = fronted.ask("GET", f"/v1/models/{status}")
    assert (answer.slug, answer.status) == TOLD[status]
    assert int(answer.headers["retry-after"]) > 0
    assert b"secret" not in answer.body


@pytest.mark.parametrize("way", ["nothing", "raised"])
def test_requests_whose_replica_died_are_answered(fronted: Live, way: str) -> None:
    answer = fronted.ask("POST", f"/v1/super-resolve/{way}")
    assert (answer.slug, answer.status) == ("busy", 503)


@pytest.mark.parametrize("status", [200, 404, 500])
def test_what_the_application_answers_is_passed_on(fronted: Live, status: int) -> None:
    answer = fronted.ask("GET", f"/ours/{status}", x_request_id="mine")
    assert (answer.status, answer.body) == (status, b"secret details")
    assert answer.headers["x-request-id"] == "mine"


def test_ids_that_are_not_fit_to_be_repeated_are_replaced(fronted: Live) -> None:
    answer = fronted.ask("GET", "/ours/200", x_request_id="a" * 65)
    assert len(answer.headers["x-request-id"]) == 32


def test_the_proxys_own_pages_are_left_alone(fronted: Live) -> None:
    assert fronted.ask("GET", "/-/ours/404").body == b"secret details"


def test_an_ingress_that_dies_under_requests_leaves_none_without_an_answer(serving: Serving) -> None:
    def call(seed: int) -> int:
        answer = serving.live.ask("POST", "/v1/super-resolve", png(seed=seed))
        if answer.status != 200:
            assert answer.slug in ("busy", "starting")
            assert int(answer.headers["retry-after"]) > 0
        return answer.status

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(call, seed) for seed in range(12)]
        kill_one("Ingress")
        statuses = [one.result() for one in calls]
    assert set(statuses) <= {200, 503}
    serving.wait_until_ready()


def test_each_answer_has_one_request_id(serving: Serving) -> None:
    with serving.live.connected() as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: mine\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.lower().count(b"x-request-id: mine") == 1
    assert answer.lower().count(b"x-request-id") == 1

import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from rssr.client import Client, ServiceError
from rssr.client.transport import Ask, Patience, Transport, path_of
from rssr.errors import UserError
from tests.conftest import free_port
from tests.rssr.client.scripted import Reply, Scripted

BUSY = Reply(
    503, {"type": "/problems/busy", "detail": "Too many wait.", "request_id": "r7"}, headers={"Retry-After": "0"}
)
GOOD = Reply(200, {"models": []})
MODELS = Ask("GET", "/v1/models")


def test_a_busy_service_is_asked_again_when_it_says(service: Scripted) -> None:
    service.replies = [BUSY, BUSY, GOOD]
    assert Client(service.url).models() == []
    assert len(service.asked) == 3


def test_patience_ends(service: Scripted) -> None:
    service.replies = [BUSY, BUSY, GOOD]
    with pytest.raises(ServiceError, match="Too many wait") as caught:
        Client(service.url, max_attempts=2).models()
    error = caught.value
    assert (error.status, error.kind, error.request_id, error.is_temporary) == (503, "busy", "r7", True)
    assert "r7" in str(error)


def test_a_wait_that_is_too_long_is_not_begun(service: Scripted) -> None:
    tomorrow = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    service.replies = [Reply(429, {"detail": "Later."}, headers={"Retry-After": tomorrow})]
    with pytest.raises(ServiceError) as caught:
        Client(service.url).models()
    assert caught.value.retry_after_s is not None and caught.value.retry_after_s > 80_000


def test_a_refusal_is_final(service: Scripted) -> None:
    document = {"type": "/problems/model-unknown", "detail": "There is no model x.", "remedy": "Ask for bicubic."}
    service.replies = [Reply(404, document, headers={"X-Request-Id": "r1"})]
    with pytest.raises(ServiceError) as caught:
        Client(service.url).models()
    error = caught.value
    assert (error.problem, error.remedy) == ("There is no model x.", "Ask for bicubic.")
    assert (error.status, error.kind, error.request_id, error.is_temporary) == (404, "model-unknown", "r1", False)


def test_an_answer_of_something_else_is_explained(service: Scripted) -> None:
    service.replies = [Reply(400, content=b"<html>no</html>"), Reply(200, content=b"<html>hello</html>")]
    client = Client(service.url)
    with pytest.raises(ServiceError, match="400"):
        client.models()
    with pytest.raises(ServiceError, match="not JSON"):
        client.models()


def test_a_connection_that_breaks_is_tried_again(service: Scripted) -> None:
    service.replies = [Reply(0), Reply(200, {"models": []}, cut=3), GOOD]
    assert Client(service.url).models() == []


def test_connections_are_kept(service: Scripted) -> None:
    service.replies = [GOOD, GOOD, GOOD]
    client = Client(service.url)
    for _ in range(3):
        client.models()
    assert len(service.connections) == 1
    client.close()


def test_a_kept_connection_that_was_closed_meanwhile_costs_no_attempt(service: Scripted) -> None:
    service.replies = [GOOD, Reply(0), GOOD]
    client = Client(service.url, max_attempts=1)
    client.models()
    assert client.models() == []


def test_a_service_that_is_not_there_is_said_to_be_so() -> None:
    with pytest.raises(ServiceError, match="does not answer") as caught:
        Client(f"http://127.0.0.1:{free_port()}", max_attempts=2).models()
    assert caught.value.status is None and caught.value.is_temporary


def test_an_image_is_not_sent_again_to_a_service_that_is_slow(service: Scripted) -> None:
    service.replies = [Reply(200, content=b"half", headers={"Content-Length": "8"})] * 2
    with pytest.raises(ServiceError, match="silent"):
        Client(service.url, timeout_s=0.2).super_resolve(b"image")
    assert len(service.asked) == 1


def test_the_key_is_sent_and_never_taken_elsewhere(service: Scripted) -> None:
    service.replies = [Reply(302, headers={"Location": "http://127.0.0.1:1/v1/models"})]
    with pytest.raises(ServiceError, match="302"):
        Client(service.url, key="secret").models()
    assert service.asked[0].headers["authorization"] == "Bearer secret"


def test_links_are_followed_at_this_service_only() -> None:
    assert path_of("http://elsewhere.example/v1/archives?cursor=2") == "/v1/archives?cursor=2"
    assert path_of("/v1/archives") == "/v1/archives"


def test_a_service_may_lie_below_a_path(service: Scripted) -> None:
    service.replies = [GOOD, GOOD]
    transport = Transport(f"{service.url}/sr/", None, Patience())
    transport.request(MODELS)
    transport.request(Ask("GET", "/sr/v1/models?cursor=2", {"state": "done"}))
    assert [asked.path for asked in service.asked] == ["/sr/v1/models", "/sr/v1/models"]
    assert service.asked[1].params == {"cursor": "2", "state": "done"}


def test_a_refusal_before_all_was_sent_is_understood(service: Scripted) -> None:
    document = {"type": "/problems/body-too-large", "detail": "The body is too large."}
    service.replies = [Reply(413, document, reads=False)]
    with pytest.raises(ServiceError) as caught:
        Client(service.url, max_attempts=1).super_resolve(b"\0" * 1000)
    assert caught.value.kind == "body-too-large"


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://host", "http://"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="no URL"):
        Client(url)


def test_errors_keep_what_they_know_between_processes() -> None:
    error = ServiceError("No.", "Wait.", status=503, kind="busy", request_id="r1", retry_after_s=2.0)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.problem, copy.status, copy.kind, copy.request_id, copy.retry_after_s) == (
        "No.",
        503,
        "busy",
        "r1",
        2.0,
    )

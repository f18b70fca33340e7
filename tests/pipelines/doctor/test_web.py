import socket
import threading
import time

import pytest

from pipelines.doctor.web import ask
from rssr.errors import UserError
from tests.conftest import free_port
from tests.pipelines.doctor.conftest import StartServer


def test_any_answer_is_one(start_server: StartServer) -> None:
    answer = ask(start_server(status=503, body=b"busy"))
    assert answer.status == 503
    assert answer.clock_error_s == 0
    answer = ask(start_server(body=b"3.1.4"))
    assert (answer.status, answer.body) == (200, "3.1.4")


@pytest.mark.parametrize("clock_s", [-7200, -90, 90, 7200])
def test_a_clock_that_is_off_is_told_to_the_second(start_server: StartServer, clock_s: int) -> None:
    error_s = ask(start_server(clock_s=clock_s)).clock_error_s
    assert error_s is not None
    assert abs(error_s + clock_s) < 15, "ours is ahead where the server's is behind"


def test_a_server_without_a_clock_says_so(start_server: StartServer) -> None:
    assert ask(start_server(clock_s=None)).clock_error_s is None


def test_a_closed_port_is_told_at_once_and_without_secrets() -> None:
    with pytest.raises(UserError, match=r"The thing http://\.\.\.@127\.0\.0\.1:\d+ does not answer") as caught:
        ask(f"http://me:planted-secret@127.0.0.1:{free_port()}", "The thing")
    assert "planted-secret" not in str(caught.value)


def test_a_silent_server_is_waited_for_no_longer_than_told(start_server: StartServer) -> None:
    started_s = time.monotonic()
    with pytest.raises(UserError, match="timed out"):
        ask(start_server(silent=True), patience_s=0.5)
    assert time.monotonic() - started_s < 20


def test_what_speaks_no_http_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        with pytest.raises(UserError, match="does not answer"):
            ask(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()

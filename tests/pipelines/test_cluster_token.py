import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from pipelines.cluster_token import own_token, require_token
from rssr.errors import UserError
from tests.conftest import free_port


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def guarded() -> Iterator[str]:
    """A server that answers as Ray's do: nobody without the token `right` is let in."""

    def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
        if ("authorization", "Bearer right") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Authentication token is missing or incorrect")
        return b""

    class Guarded(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
            return grpc.unary_unary_rpc_method_handler(refuse)

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Guarded()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_without_the_token_it_is_told_at_once_and_with_it_nothing_is(
    guarded: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_s = time.monotonic()
    with pytest.raises(UserError, match="asks for a token"):
        require_token(scheme + guarded)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    with pytest.raises(UserError, match="asks for a token"):
        require_token(scheme + guarded)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    require_token(scheme + guarded)
    assert time.monotonic() - started_s < 20


def test_what_does_not_answer_is_left_to_ray() -> None:
    require_token(f"127.0.0.1:{free_port()}")


def test_a_token_counts_only_where_the_mode_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-the-environment")
    assert own_token() == ""
    monkeypatch.setenv("RAY_AUTH_MODE", "TOKEN")
    assert own_token() == "of-the-environment"
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    assert own_token() == ""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("of-the-home\n")
    assert own_token() == "of-the-home"
    (tmp_path / "elsewhere").write_text("of-a-file")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "elsewhere"))
    assert own_token() == "of-a-file"

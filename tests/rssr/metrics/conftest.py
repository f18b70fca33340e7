"""No test of a metric may use the network; one that tries fails."""

import socket
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest


@pytest.fixture(scope="module", autouse=True)
def _no_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a metric uses the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(socket.socket, "connect", refuse)
        for variable in ("TORCH_HOME", "HF_HOME", "XDG_CACHE_HOME"):  # no cache either
            patch.setenv(variable, str(tmp_path_factory.mktemp("cache")))
        yield

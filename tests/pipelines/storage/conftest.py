"""Places that archives and lists lie in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web import WebServer, web_server


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebServer]:
    """A web server over an empty folder."""
    (tmp_path / "web").mkdir()
    with web_server(tmp_path / "web") as server:
        yield server

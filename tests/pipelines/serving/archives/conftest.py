"""Places for the service and its scenes: a local folder, and a bucket of a real server."""

from pathlib import Path

import pytest

from pipelines.storage import StorageSettings
from tests.conftest import S3Server
from tests.pipelines.bulk.imagery import Place


@pytest.fixture
def local(tmp_path: Path) -> Place:
    (tmp_path / "in").mkdir()
    return Place(str(tmp_path), StorageSettings())


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Place:
    s3_server.use(monkeypatch)  # processes of archives find it in their environment
    return Place(s3_server.make_bucket(), s3_server.settings)


@pytest.fixture(params=["local", "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found

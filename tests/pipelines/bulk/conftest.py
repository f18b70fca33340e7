"""Places to put scenes: a local folder, and buckets of two real servers."""

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
def bucket(s3_server: S3Server) -> Place:
    return Place(s3_server.make_bucket(), s3_server.settings)


@pytest.fixture(params=["local", "rclone", "moto"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "local":
        return request.getfixturevalue("local")  # type: ignore[no-any-return]  # pytest's fixtures are untyped
    server: S3Server = request.getfixturevalue("s3_server" if request.param == "rclone" else "moto_server")
    return Place(server.make_bucket(), server.settings)

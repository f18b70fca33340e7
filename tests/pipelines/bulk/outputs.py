"""Outputs of each kind: a folder, a server that refuses to overwrite, and one that does not."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.storage import Store, open_store
from tests.conftest import S3Server

KINDS = ("local", "moto", "rclone")

OPEN_STORE = """
import sys
from pathlib import Path
from pipelines.storage import StorageSettings, open_store
uri, endpoint, *rest = sys.argv[1:]
settings = StorageSettings(endpoint, "us-east-1", "test-access-key", "test-secret-key") if endpoint else None
store = open_store(uri, settings)
"""
"""How the script of another process begins that is given `Output.address`; what else it is given is in `rest`."""


@dataclass(frozen=True)
class Output:
    """An empty output.

    Attributes:
        kind: One of `KINDS`.
        store: To reach it.
        address: The same for another process.
    """

    kind: str
    store: Store
    address: tuple[str, str]

    @property
    def refuses(self) -> bool:
        """Whether it refuses to overwrite."""
        return self.kind != "rclone"


def make_output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    """For a fixture that has `KINDS` as its parameters."""
    if request.param == "local":
        folder = str(tmp_path / "out")
        return Output("local", open_store(folder), (folder, ""))
    server: S3Server = request.getfixturevalue("s3_server" if request.param == "rclone" else "moto_server")
    uri = f"{server.make_bucket()}/some folder"
    return Output(request.param, open_store(uri, server.settings), (uri, str(server.settings.endpoint_url)))

from pathlib import Path

import pytest

from pipelines.storage import open_store
from pipelines.storage.model_source import fetch_remote_model
from rssr.errors import ModelError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_model_is_fetched_once_until_it_changes(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = request.getfixturevalue("s3_server")
    server.use(monkeypatch)
    uri = f"{server.make_bucket()}/models/small"
    store = open_store(uri)
    store.write_bytes("config.json", b"{}")
    store.write_bytes("model.safetensors", b"weights")
    folder = fetch_remote_model(uri)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    (folder / "seen").touch()
    assert (fetch_remote_model(uri) / "seen").exists()
    store.write_bytes("model.safetensors", b"other weights")
    assert (fetch_remote_model(uri) / "model.safetensors").read_bytes() == b"other weights"


def test_folder_without_a_model_is_refused(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    server = request.getfixturevalue("s3_server")
    server.use(monkeypatch)
    uri = server.make_bucket()
    open_store(uri).write_bytes("config.json", b"{}")
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        fetch_remote_model(uri)


def test_local_folder_is_used_in_place(tmp_path: Path) -> None:
    assert fetch_remote_model(str(tmp_path)) == tmp_path

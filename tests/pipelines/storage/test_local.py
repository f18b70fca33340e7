"""What a local folder promises beyond what every store does."""

import multiprocessing
import os
from pathlib import Path

import pytest

from pipelines.storage import open_store
from rssr.errors import StorageError


def test_interrupted_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path))
    store.write_bytes("key", b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match="space"):
        store.write_bytes("key", b"new")
    assert store.read_bytes("key") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_unfinished_files_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".abc.rssr-part").write_bytes(b"half")
    (tmp_path / "whole").write_bytes(b"1")
    assert [entry.key for entry in open_store(str(tmp_path)).list()] == ["whole"]


def test_linked_folders_are_read_once_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "data" / "real").mkdir(parents=True)
    (tmp_path / "data" / "real" / "file").write_bytes(b"1")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"2")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "real" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "dangling").symlink_to(tmp_path / "nowhere")
    assert [entry.key for entry in open_store(str(tmp_path / "data")).list()] == ["linked/file", "real/file"]


def test_a_file_in_the_way_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(StorageError, match="file"):
        open_store(str(tmp_path / "file")).write_bytes("key", b"1")


def test_has_folder_tells_empty_from_missing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert open_store(str(tmp_path / "empty")).has_folder()
    assert not open_store(str(tmp_path / "missing")).has_folder()


def _claim(folder: str, number: int) -> bool:
    return open_store(folder).put_if_absent("claim", str(number).encode() * 1000)


def test_one_of_many_processes_wins(tmp_path: Path) -> None:
    # Not by forking: the threads of whatever ran before in this process may hold locks that nobody would release.
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        won = pool.starmap(_claim, [(str(tmp_path), number) for number in range(8)])
    assert won.count(True) == 1
    assert (tmp_path / "claim").read_bytes() == str(won.index(True)).encode() * 1000

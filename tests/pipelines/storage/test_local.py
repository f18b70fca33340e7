"""What a local folder promises beyond what every store does."""

import errno
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipelines.storage import open_store
from rssr.errors import StorageError
from tests.processes import run_python, start_python, wait_until


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


def test_a_file_that_may_be_taken_is_not_copied(tmp_path: Path) -> None:
    store, source = open_store(str(tmp_path / "out")), tmp_path / "scratch.tif"
    source.write_bytes(b"pixels")
    source.chmod(0o600)
    assert store.upload_file_if_absent(source, "a/b.tif", takes_source=True)
    product = tmp_path / "out" / "a" / "b.tif"
    assert product.samefile(source)
    (tmp_path / "other").touch()
    assert product.stat().st_mode == (tmp_path / "other").stat().st_mode, "as readable as any new file"
    source.unlink()
    assert store.read_bytes("a/b.tif") == b"pixels"
    assert [path.name for path in product.parent.iterdir()] == ["b.tif"]


def test_a_file_from_another_file_system_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def link(source: Path, target: Path, **options: Any) -> None:
        if Path(source).parent == tmp_path:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target, **options)

    monkeypatch.setattr(os, "link", link)
    (tmp_path / "scratch").write_bytes(b"pixels")
    store = open_store(str(tmp_path / "out"))
    assert store.upload_file_if_absent(tmp_path / "scratch", "key", takes_source=True)
    assert store.read_bytes("key") == b"pixels"
    assert not (tmp_path / "out" / "key").samefile(tmp_path / "scratch")


LIMITED = """
import resource, signal, sys
from pathlib import Path
from pipelines.storage import open_store
from rssr.errors import RssrError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
store = open_store(sys.argv[1])
for write in (
    lambda: store.upload_file_if_absent(Path(sys.argv[2]), "a"),
    lambda: store.write_stream("b", [bytes(60_000)] * 3),
    lambda: store.write_bytes("c", bytes(200_000)),
):
    try:
        write()
    except RssrError as error:
        print(type(error).__name__, error)
"""


def test_a_disk_that_takes_no_more_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """Files may not grow beyond a size, as on a full disk."""
    (tmp_path / "large").write_bytes(bytes(200_000))
    told = run_python(LIMITED, tmp_path / "out", tmp_path / "large").splitlines()
    assert len(told) == 3
    for line in told:
        assert line.startswith(f"StorageError {tmp_path}/out/")
        assert "choose another place" in line
    assert not list((tmp_path / "out").iterdir())


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "file").write_bytes(b"1")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match=r"No space left on device\. Free some space"):
        open_store(str(tmp_path / "out")).upload_file_if_absent(tmp_path / "file", "key")
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_that_nobody_may_write_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    store = open_store("/sys/rssr")  # refuses even the superuser
    for write in (
        lambda: store.upload_file_if_absent(tmp_path / "file", "key"),
        lambda: store.put_if_absent("key", b"1"),
        store.enforces_conditional_upload,
    ):
        with pytest.raises(StorageError, match=r"/sys/rssr.*(permissions|read-only)"):
            write()


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.write_bytes("a/whole", b"1")
    for left in (tmp_path / ".abc.rssr-part", tmp_path / "a" / ".def.rssr-part"):
        left.write_bytes(b"half")
    assert store.delete_unfinished() == 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "whole"]
    assert store.delete_unfinished() == 0


UPLOADING = """
import sys
from pathlib import Path
from pipelines.storage import open_store
print("begins", flush=True)
open_store(sys.argv[1]).upload_file_if_absent(Path(sys.argv[2]), "scene.tif")
"""


def test_a_writer_killed_in_the_middle_leaves_nothing_that_is_seen(tmp_path: Path) -> None:
    store, out, large = open_store(str(tmp_path / "out")), tmp_path / "out", tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate(2**33)  # takes seconds to copy, and no space here
    with start_python(UPLOADING, out, large) as writer:
        wait_until(lambda: any(path.stat().st_size > 2**20 for path in out.glob(".*")))
        writer.kill()
    assert store.list() == []
    assert not store.exists("scene.tif")
    (tmp_path / "whole").write_bytes(b"whole")
    assert store.upload_file_if_absent(tmp_path / "whole", "scene.tif")
    assert store.read_bytes("scene.tif") == b"whole"
    assert store.delete_unfinished() == 1
    assert [path.name for path in out.iterdir()] == ["scene.tif"]


def test_writers_and_removers_of_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))

    def come_and_go(number: int) -> None:
        for _ in range(60):
            store.write_bytes(f"flags/deep/{number}", b"1")
            store.delete(f"flags/deep/{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert store.list() == []


def test_a_folder_that_is_removed_while_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, mkdir = open_store(str(tmp_path)), os.mkdir
    errors = iter([FileExistsError(errno.EEXIST, "it was there a moment ago, and is not any more")])

    def race(path: Path, mode: int = 0o777) -> None:
        for error in errors:
            raise error
        mkdir(path, mode)

    monkeypatch.setattr(os, "mkdir", race)
    store.write_bytes("flags/one", b"1")
    assert store.read_bytes("flags/one") == b"1"


def test_a_folder_is_listed_while_others_come_and_go_in_it(tmp_path: Path) -> None:
    store, is_over = open_store(str(tmp_path)), threading.Event()
    store.write_bytes("stays", b"1")

    def come_and_go(number: int) -> None:
        while not is_over.is_set():
            for key in (f"flags/{number}/deep/one", f"flags/{number}/deep/two"):
                store.write_bytes(key, b"1")
            for key in (f"flags/{number}/deep/one", f"flags/{number}/deep/two"):
                store.delete(key)

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(come_and_go, number) for number in range(3)]
        try:
            for _ in range(400):
                assert "stays" in [entry.key for entry in store.list()]
        finally:
            is_over.set()
        for each in working:
            each.result()

"""Archives are stores like others, wherever they lie and however they are packed."""

import gzip
import io
import pickle
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipelines.storage import Entry, ObjectDamaged, ObjectMissing, Store, archive, open_store
from pipelines.storage.archive import ArchiveStore
from pipelines.storage.archive_members import ArchiveLimits
from pipelines.storage.local import LocalStore
from rssr.errors import ExitCode, StorageError
from tests.pipelines.storage.packing import ENDINGS, FILES, add, packed

Put = Callable[[str, bytes], str]


@pytest.fixture(params=["local", "s3", "web"])
def put(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Store a file and say where."""
    if request.param == "s3":
        server = request.getfixturevalue("s3_server")
        server.use(monkeypatch)
        bucket = server.make_bucket()

        def put_s3(name: str, data: bytes) -> str:
            open_store(f"{bucket}/raw data").write_bytes(name, data)
            return f"{bucket}/raw data/{name}"

        return put_s3
    web = request.getfixturevalue("web") if request.param == "web" else None

    def put_file(name: str, data: bytes) -> str:
        folder = web.folder if web is not None else tmp_path
        (folder / name).write_bytes(data)
        return f"{web.uri}/{name}" if web is not None else str(folder / name)

    return put_file


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_member_is_listed_and_read(put: Put, ending: str) -> None:
    store = open_store(put(f"AID 1.{ending}", packed(ending, FILES)))
    entries = store.list()
    assert {entry.key: entry.num_bytes for entry in entries} == {key: len(data) for key, data in FILES.items()}
    assert [entry.key for entry in entries] == sorted(FILES)
    assert {key: store.read_bytes(key) for key in reversed(FILES)} == FILES
    assert store.list() == entries


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_archive_is_a_store(put: Put, tmp_path: Path, ending: str) -> None:
    uri = put(f"AID.{ending}", packed(ending, FILES))
    store = open_store(uri)
    assert (store.uri, store.has_folder()) == (uri, True)
    assert store.exists("top.jpg")
    assert not store.exists("AID/Airport")
    assert store.read_range("top.jpg", 100, 50) == FILES["top.jpg"][100:150]
    assert store.read_range("top.jpg", 299_990, 50) == FILES["top.jpg"][-10:]
    assert store.read_range("top.jpg", 400_000, 50) == b""
    assert store.stat("top.jpg") == next(entry for entry in store.list() if entry.key == "top.jpg")
    assert [entry.key for entry in store.list("AID/Airport")] == ["AID/Airport/airport_1.jpg", "AID/Airport/empty.jpg"]
    with pytest.raises(ObjectMissing, match=rf"AID\.{ending}!/none\.jpg"):
        store.read_bytes("none.jpg")
    store.download_folder("AID/Airport", tmp_path / "out")
    assert (tmp_path / "out" / "airport_1.jpg").read_bytes() == FILES["AID/Airport/airport_1.jpg"]
    copy = pickle.loads(pickle.dumps(store))
    assert copy.read_bytes("top.jpg") == FILES["top.jpg"]


@pytest.mark.parametrize("ending", ["zip", "tgz"])
def test_a_folder_in_an_archive_has_an_address_of_its_own(put: Put, ending: str) -> None:
    uri = put(f"AID.{ending}", packed(ending, FILES))
    child = open_store(uri).child("AID/Airport")
    assert child.uri == f"{uri}!/AID/Airport"
    again = open_store(child.uri)
    assert [entry.key for entry in again.list()] == ["airport_1.jpg", "empty.jpg"]
    assert again.read_bytes("airport_1.jpg") == FILES["AID/Airport/airport_1.jpg"]
    assert again.describe("airport_1.jpg") == f"{uri}!/AID/Airport/airport_1.jpg"
    assert again.child("x").uri == f"{uri}!/AID/Airport/x"


@pytest.mark.parametrize("ending", ENDINGS)
def test_threads_share_an_archive(put: Put, ending: str) -> None:
    store = open_store(put(f"AID.{ending}", packed(ending, FILES)))
    keys = list(FILES) * 8
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(store.read_bytes, keys)) == [FILES[key] for key in keys]


def test_nothing_is_written_to_archives(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(packed("zip", FILES))
    store = open_store(str(tmp_path / "a.zip"))
    attempts: list[Callable[[], object]] = [
        lambda: store.write_bytes("a", b""),
        lambda: store.put_if_absent("a", b""),
        lambda: store.delete("top.jpg"),
        lambda: store.upload_file(tmp_path / "a.zip", "a"),
    ]
    for attempt in attempts:
        with pytest.raises(StorageError, match=r"a\.zip is read-only"):
            attempt()


class CountingStore(LocalStore):
    num_bytes = 0

    def read_range(self, key: str, start: int, num_bytes: int) -> bytes:
        data = super().read_range(key, start, num_bytes)
        self.num_bytes += len(data)
        return data


def test_one_member_of_a_zip_costs_little_more_than_itself(tmp_path: Path) -> None:
    files = {f"{number:02d}.bin": np.random.default_rng(number).bytes(500_000) for number in range(20)}
    (tmp_path / "a.zip").write_bytes(packed("zip", files))
    container = CountingStore(tmp_path)
    store = ArchiveStore(container, "a.zip")
    assert store.read_bytes("07.bin") == files["07.bin"]
    assert container.num_bytes < 700_000


def test_a_tar_is_indexed_without_its_members(tmp_path: Path) -> None:
    files = {f"{number:02d}.bin": bytes(500_000) for number in range(20)}
    (tmp_path / "a.tar").write_bytes(packed("tar", files))
    container = CountingStore(tmp_path)
    assert len(ArchiveStore(container, "a.tar").list()) == 20
    assert container.num_bytes < 200_000


class Elsewhere(CountingStore):
    """Not a local folder."""

    @property
    def uri(self) -> str:
        return "elsewhere://bucket"


def test_a_tar_elsewhere_is_gone_through_once_for_all_processes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_up() -> tuple[ArchiveStore, int]:
        monkeypatch.setattr(archive, "_INDEXES", archive._Indexes())  # as in a process that knows nothing yet
        container = Elsewhere(tmp_path)
        store = ArchiveStore(container, "a.tar")
        listed.append(store.list())
        return store, container.num_bytes

    listed: list[list[Entry]] = []
    (tmp_path / "a.tar").write_bytes(packed("tar", FILES))
    assert looked_up()[1] > 100_000
    store, num_bytes = looked_up()
    assert num_bytes == 0
    assert listed[0] == listed[1]
    assert {entry.key: store.read_bytes(entry.key) for entry in store.list()} == FILES
    kept = next(cache.rglob("*.json"))
    kept.write_bytes(kept.read_bytes()[:-9])
    assert looked_up()[1] > 100_000, "a damaged index is not trusted"
    (tmp_path / "a.tar").write_bytes(packed("tar", {"other.jpg": b"1"}))
    assert [entry.key for entry in looked_up()[0].list()] == ["other.jpg"]


def test_a_read_within_a_gzip_does_not_unpack_all_before_it(tmp_path: Path) -> None:
    files = {f"{number:02d}.bin": np.random.default_rng(number).bytes(1_000_000) for number in range(24)}
    (tmp_path / "a.tgz").write_bytes(packed("tgz", files))
    container = CountingStore(tmp_path)
    store = ArchiveStore(container, "a.tgz")
    store.list()
    container.num_bytes = 0
    for key in ("23.bin", "00.bin", "11.bin", "12.bin"):
        assert store.read_bytes(key) == files[key]
    assert container.num_bytes < 4 * 6_000_000


def test_gzip_files_of_several_parts_and_pending_output(tmp_path: Path) -> None:
    files = {"zeros.bin": bytes(3_000_000), "noise.bin": np.random.default_rng(1).bytes(3_000_000), "end.bin": b"end"}
    plain = packed("tar", files)
    parts = [gzip.compress(plain[start : start + 1_000_000]) for start in range(0, len(plain), 1_000_000)]
    (tmp_path / "a.tar.gz").write_bytes(b"".join(parts) + bytes(700))
    store = ArchiveStore(LocalStore(tmp_path), "a.tar.gz", limits=ArchiveLimits(max_ratio=2_000))
    assert {key: store.read_bytes(key) for key in files} == files


def test_a_changed_archive_is_looked_at_again(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / "a.zip").write_bytes(packed("zip", {f"{number}.jpg": b"x" * (number + 1)}))
        assert [entry.key for entry in open_store(str(tmp_path / "a.zip")).list()] == [f"{number}.jpg"]


def test_versions_follow_content(tmp_path: Path) -> None:
    def versions(name: str, data: bytes) -> list[str]:
        (tmp_path / name).write_bytes(data)
        return [entry.version for entry in open_store(str(tmp_path / name)).list()]

    one, other = ({"a.jpg": b"1", "b.jpg": data} for data in (b"22", b"33"))
    before, after = versions("a.zip", packed("zip", one)), versions("a.zip", packed("zip", other))
    assert (before[0], before[1] != after[1]) == (after[0], True)


def test_a_folder_called_like_an_archive_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "AID.zip" / "x").mkdir(parents=True)
    (tmp_path / "AID.zip" / "x" / "1.jpg").write_bytes(b"1")
    assert [entry.key for entry in open_store(str(tmp_path / "AID.zip")).list()] == ["x/1.jpg"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_missing_archive_is_named(put: Put, ending: str) -> None:
    uri = put(f"a.{ending}", b"").replace("/a.", "/none.")
    with pytest.raises(ObjectMissing, match=rf"none\.{ending}"):
        open_store(uri).list()
    assert not open_store(uri).has_folder()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("cut", ["half", "end", "nothing", "html"])
def test_a_damaged_archive_is_named(tmp_path: Path, ending: str, cut: str) -> None:
    whole = packed(ending, FILES)
    data = {"half": whole[: len(whole) // 2], "end": whole[:-12_000], "nothing": b"", "html": b"<html>404</html>" * 99}
    (tmp_path / f"a.{ending}").write_bytes(data[cut])
    with pytest.raises(StorageError, match=rf"a\.{ending} is damaged") as caught:
        open_store(str(tmp_path / f"a.{ending}")).list()
    assert caught.value.exit_code is ExitCode.BAD_INPUT


def test_a_header_garbled_in_the_middle_of_a_tar_loses_nothing_silently(tmp_path: Path) -> None:
    data = bytearray(packed("tar", {"a.jpg": b"1", "b.jpg": b"2", "c.jpg": b"3"}))
    data[1024 + 3] ^= 0xFF
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(StorageError, match=r"a\.tar is damaged"):
        open_store(str(tmp_path / "a.tar")).list()


def test_a_damaged_member_leaves_the_others_readable(tmp_path: Path) -> None:
    files = {"a.jpg": b"first", "b.jpg": b"second"}
    data = packed("zip", files).replace(b"first", b"fizst")
    (tmp_path / "a.zip").write_bytes(data)
    store = open_store(str(tmp_path / "a.zip"))
    with pytest.raises(ObjectDamaged, match=r"a\.zip!/a\.jpg does not have the checksum"):
        store.read_bytes("a.jpg")
    assert store.read_bytes("b.jpg") == b"second"


def test_names_of_old_archivers(tmp_path: Path) -> None:
    """Without a flag a name is code page 437, unless it reads as UTF-8; a tar's bytes may be anything."""
    zipped = packed("zip", {"x" * 6 + "1.jpg": b"1", "x" * 6 + "2.jpg": b"2"})
    zipped = zipped.replace(b"x" * 6 + b"1", "aé北".encode() + b"1").replace(b"x" * 6 + b"2", b"a\x82\x84bcd2")
    (tmp_path / "a.zip").write_bytes(zipped)
    assert [entry.key for entry in open_store(str(tmp_path / "a.zip")).list()] == ["aéäbcd2.jpg", "aé北1.jpg"]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        add(archive, "Gehöft.jpg", b"1")
    (tmp_path / "a.tar").write_bytes(out.getvalue())
    store: Store = open_store(str(tmp_path / "a.tar"))
    assert [entry.key for entry in store.list()] == ["Gehöft.jpg"]
    assert store.read_bytes("Gehöft.jpg") == b"1"

"""What is not safe in an archive is refused, with the member named, before more than the limits is unpacked."""

import random
import struct
import tarfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.storage import ObjectDamaged, open_store
from pipelines.storage.archive import ArchiveStore
from pipelines.storage.archive_members import ArchiveLimits
from pipelines.storage.local import LocalStore
from rssr.errors import StorageError
from tests.pipelines.storage.packing import ENDINGS, FILES, packed, tar_with

ESCAPES = {
    "../up.jpg": "climbs out",
    "a/../../up.jpg": "climbs out",
    "..\\up.jpg": "climbs out",
    "/etc/passwd.jpg": "absolute path",
    "\\\\server\\share\\x.jpg": "absolute path",
    "C:\\x.jpg": "drive letter",
    "c:/x.jpg": "drive letter",
    "a\x1b[2J.jpg": "control characters",
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", ESCAPES)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, ending: str, name: str) -> None:
    (tmp_path / f"a.{ending}").write_bytes(packed(ending, {"good.jpg": b"1", name: b"2"}))
    with pytest.raises(StorageError, match=rf"a\.{ending} is refused: its member .*{ESCAPES[name]}") as caught:
        open_store(str(tmp_path / f"a.{ending}")).list()
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("ending", ENDINGS)
def test_harmless_ways_to_write_a_name(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"a.{ending}").write_bytes(packed(ending, {"./a/b.jpg": b"1", "win\\c.jpg": b"2", "..d/e..jpg": b"3"}))
    store = open_store(str(tmp_path / f"a.{ending}"))
    assert {entry.key: store.read_bytes(entry.key) for entry in store.list()} == {
        "a/b.jpg": b"1",
        "win/c.jpg": b"2",
        "..d/e..jpg": b"3",
    }


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_name_twice_is_refused(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"a.{ending}").write_bytes(packed(ending, {"a/b.jpg": b"1", "./a/b.jpg": b"2"}))
    with pytest.raises(StorageError, match=r"'a/b\.jpg' is there twice"):
        open_store(str(tmp_path / f"a.{ending}")).list()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (tar_with("x", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "'x' is a symbolic link"),
        (tar_with("x", type=tarfile.LNKTYPE, linkname="first.jpg"), "'x' is a hard link"),
        (tar_with("x", type=tarfile.CHRTYPE), "'x' is a device"),
        (tar_with("x", type=tarfile.FIFOTYPE), "'x' is a pipe"),
        (tar_with("x", b"", type=tarfile.GNUTYPE_SPARSE), "'x' is a sparse file"),
        (tar_with("x", type=b"Z"), "'x' is of the unknown kind"),
        (tar_with("x", b"y", pax_headers={"GNU.sparse.size": "9999999999"}), "'x' is a sparse file"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(StorageError, match=why):
        open_store(str(tmp_path / "a.tar")).list()


def test_links_and_secrets_in_a_zip_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(StorageError, match="'link' is a link or device"):
        open_store(str(tmp_path / "link.zip")).list()
    plain = packed("zip", {"secret.jpg": b"1"})
    place = plain.index(b"PK\x01\x02") + 8
    (tmp_path / "secret.zip").write_bytes(plain[:place] + b"\x01" + plain[place + 1 :])
    with pytest.raises(StorageError, match=r"'secret\.jpg' is encrypted.*password"):
        open_store(str(tmp_path / "secret.zip")).list()
    with zipfile.ZipFile(tmp_path / "lzma.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.jpg", b"1")
    with pytest.raises(StorageError, match=r"'a\.jpg' is packed with lzma"):
        open_store(str(tmp_path / "lzma.zip")).list()


@pytest.mark.parametrize("ending", ["zip", "tgz", "tar.gz"])
def test_bombs_are_refused_by_their_ratio(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"a.{ending}").write_bytes(packed(ending, {"a.jpg": b"1", "bomb.jpg": bytes(50_000_000)}))
    with pytest.raises(StorageError, match=r"'bomb\.jpg' unpacks .*more than 200 times.* like a bomb"):
        open_store(str(tmp_path / f"a.{ending}")).list()


def test_a_gzip_bomb_is_stopped_soon_after_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is unpacked is counted, since a header may declare anything."""
    header = tarfile.TarInfo("bomb.jpg")
    header.size = 2**31 - 1
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = squeeze.compress(header.tobuf()) + b"".join(squeeze.compress(bytes(2**20)) for _ in range(200))
    (tmp_path / "a.tgz").write_bytes(data + squeeze.flush())
    unpacked = 0

    def counted(self: object, chunk: bytes, most: int) -> bytes:
        nonlocal unpacked
        piece = original(self, chunk, most)  # type: ignore[arg-type]  # a method
        unpacked += len(piece)
        return piece

    from pipelines.storage.archive_gzip import GzipStream

    original = GzipStream._unpack
    monkeypatch.setattr(GzipStream, "_unpack", counted)
    with pytest.raises(StorageError, match=r"'bomb\.jpg' unpacks"):
        open_store(str(tmp_path / "a.tgz")).list()
    assert unpacked < 4 * 2**20


def test_a_zip_that_unpacks_to_more_than_it_declares_is_stopped(tmp_path: Path) -> None:
    data = bytearray(packed("zip", {"a.bin": b"", "b.bin": bytes(2**20)}))
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.rindex(signature) + place
        data[start : start + 4] = struct.pack("<I", 10)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ObjectDamaged, match=r"b\.bin does not have the size"):
        open_store(str(tmp_path / "a.zip")).read_bytes("b.bin")


def test_members_of_a_zip_that_share_bytes_are_refused(tmp_path: Path) -> None:
    data = bytearray(packed("zip", {"a.bin": b"x" * 500, "b.bin": b"y" * 500}))
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<I", 100)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(StorageError, match="overlaps with another"):
        open_store(str(tmp_path / "a.zip")).list()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"max_member_bytes": 299_999}, r"'top\.jpg' has 300,000 bytes, more than the 299,999"),
        ({"max_total_bytes": 300_000}, "brings the sum above 300,000"),
        ({"max_members": 5}, "is one more than 5"),
    ],
)
def test_limits_name_the_member(tmp_path: Path, ending: str, change: dict[str, int], why: str) -> None:
    (tmp_path / f"a.{ending}").write_bytes(packed(ending, FILES))
    limits = replace(ArchiveLimits(), **change)
    with pytest.raises(StorageError, match=why):
        ArchiveStore(LocalStore(tmp_path), f"a.{ending}", limits=limits).list()


def test_a_declared_size_beyond_the_limit_is_refused_at_once(tmp_path: Path) -> None:
    header = tarfile.TarInfo("huge.jpg")
    header.size = 2 * 2**30 + 1
    (tmp_path / "a.tar").write_bytes(header.tobuf())
    with pytest.raises(StorageError, match=r"'huge\.jpg' has 2,147,483,649 bytes"):
        open_store(str(tmp_path / "a.tar")).list()
    header.size, header.type = 2**30, tarfile.XHDTYPE
    (tmp_path / "b.tar").write_bytes(header.tobuf())
    with pytest.raises(StorageError, match="is a header of 1,073,741,824 bytes"):
        open_store(str(tmp_path / "b.tar")).list()


def test_a_large_compressed_tar_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(packed("tgz", FILES))
    store = ArchiveStore(LocalStore(tmp_path), "a.tgz", limits=ArchiveLimits(max_gzip_bytes=1_000))
    with pytest.raises(StorageError, match=r"above 1,000 is refused.*gunzip.*zip"):
        store.list()


@pytest.mark.parametrize("ending", ENDINGS)
def test_garbled_archives_are_refused_or_read_but_never_crash(tmp_path: Path, ending: str) -> None:
    whole = packed(ending, {key: data[:2_000] for key, data in FILES.items()})
    draw, refused = random.Random(3), 0
    for number in range(150):
        garbled = bytearray(whole)
        for _ in range(draw.choice([1, 3, 20])):
            garbled[draw.randrange(len(whole))] = draw.randrange(256)
        path = tmp_path / f"{number}.{ending}"
        path.write_bytes(garbled)
        store = open_store(str(path))
        try:
            for entry in store.list():
                store.read_bytes(entry.key)
        except StorageError as error:
            assert path.name in str(error)
            refused += 1
    assert refused > 30

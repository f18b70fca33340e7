"""What should not be unpacked is refused before it is."""

import gzip
import io
import random
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from pipelines.serving.problems import Problem
from pipelines.serving.security.archive_limits import ArchiveFacts, check_archive
from pipelines.serving.security.config import LimitsConfig
from tests.pipelines.bulk.imagery import zipped
from tests.pipelines.storage.packing import packed, tar_with

LIMITS = LimitsConfig()
FILES = {"a/one.png": bytes(range(256)) * 10, "two.tif": b"x" * 700}


def check(tmp_path: Path, data: bytes, ending: str, limits: LimitsConfig = LIMITS) -> ArchiveFacts:
    (tmp_path / "rssr-upload-x").write_bytes(data)
    return check_archive(tmp_path / "rssr-upload-x", ending, limits)


def refusal(tmp_path: Path, data: bytes, ending: str, limits: LimitsConfig = LIMITS) -> str:
    with pytest.raises(Problem) as raised:
        check(tmp_path, data, ending, limits)
    assert raised.value.slug == "invalid-request"
    assert "/" not in raised.value.detail.partition("'")[0]
    assert raised.value.remedy
    return raised.value.detail


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
def test_sound_archives_are_taken(tmp_path: Path, ending: str) -> None:
    assert check(tmp_path, packed(ending, FILES), f".{ending}") == ArchiveFacts(2, 3260)


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize(
    ("limits", "word"),
    [
        (LimitsConfig(max_entries=1), "more than 1"),
        (LimitsConfig(max_entry_bytes=2000), "2,000"),
        (LimitsConfig(max_expanded_bytes=3000), "3,000"),
    ],
)
def test_limits_are_those_of_the_operator(tmp_path: Path, ending: str, limits: LimitsConfig, word: str) -> None:
    assert word in refusal(tmp_path, packed(ending, FILES), f".{ending}", limits)


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_bombs_are_noticed_by_their_ratio(tmp_path: Path, ending: str) -> None:
    bomb = packed(ending, {"0.png": b"", "a.png": bytes(20_000_000)})
    assert "bomb" in refusal(tmp_path, bomb, f".{ending}")


def test_a_compressed_stream_of_headers_ends(tmp_path: Path) -> None:
    folder = tarfile.TarInfo("x/")
    folder.type = tarfile.DIRTYPE
    endless = gzip.compress(folder.tobuf() * 20_000)
    assert "more than" in refusal(tmp_path, endless, ".tar.gz", LimitsConfig(max_expanded_bytes=2**20))


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "a/../../b.png", "..\\a.png", "C:\\a.png", "a\n.png"])
def test_names_that_climb_are_refused(tmp_path: Path, ending: str, name: str) -> None:
    assert "member" in refusal(tmp_path, packed(ending, {name: b"x"}), f".{ending}")


@pytest.mark.parametrize("name", ["inner.zip", "a/b.TAR.gz", "c.tgz"])
def test_archives_in_archives_are_refused(tmp_path: Path, name: str) -> None:
    assert "another one" in refusal(tmp_path, zipped({"a.png": b"x", name: b"x"}), ".zip")


def test_names_too_long_for_stores_are_refused(tmp_path: Path) -> None:
    assert "too long" in refusal(tmp_path, zipped({"é" * 600: b"x"}), ".zip")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    assert "not a file" in refusal(tmp_path, tar_with("a", type=kind, linkname="/etc/passwd"), ".tar")
    linked = zipfile.ZipInfo("a")
    linked.create_system, linked.external_attr = 3, 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(linked, "/etc/passwd")
    assert "link" in refusal(tmp_path, buffer.getvalue(), ".zip")


def test_encrypted_archives_are_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.png": b"x" * 100}))
    place = data.index(b"PK\x01\x02") + 8
    data[place] |= 1
    assert "encrypted" in refusal(tmp_path, bytes(data), ".zip")


def test_tables_of_endless_zips_are_not_read(tmp_path: Path) -> None:
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    table = entry * 400_000
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, len(table), 0, 0)
    tracemalloc.start()
    assert "table" in refusal(tmp_path, table + end, ".zip", LimitsConfig(max_entries=1000))
    assert tracemalloc.get_traced_memory()[1] < 40 * 2**20  # the file itself, twice
    tracemalloc.stop()


def test_empty_archives_are_refused(tmp_path: Path) -> None:
    for ending, data in ((".zip", zipped({})), (".tar", bytes(10_240)), (".tar.gz", gzip.compress(bytes(10_240)))):
        assert "no files" in refusal(tmp_path, data, ending)


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
def test_damaged_archives_are_no_surprise(tmp_path: Path, ending: str) -> None:
    data, dice = packed(ending, FILES), random.Random(0)
    for _ in range(400):
        changed = bytearray(data)
        for _ in range(dice.randint(1, 6)):
            changed[dice.randrange(len(changed))] = dice.choice((0, 0xFF, dice.randrange(256)))
        if dice.random() < 0.3:
            del changed[dice.randrange(len(changed)) :]
        try:
            check(tmp_path, bytes(changed), f".{ending}")
        except Problem:
            continue

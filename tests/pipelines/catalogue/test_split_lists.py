"""Published split lists are read as data, whatever they hold, and matched with the images that are there."""

import json
import logging
import os
import pickle
import struct
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.catalogue.split_lists import MAX_LIST_BYTES, assign_splits, read_split_list
from pipelines.storage import ObjectMissing, open_store
from rssr.errors import DataError, ExitCode

NAMES = ("Airport/airport_1.jpg", "Beach/beach_2.jpg")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "content",
    [
        list(NAMES),
        tuple(NAMES),
        {"Airport": [NAMES[0]], "Beach": (NAMES[1],)},
        {NAMES[0]: 0, NAMES[1]: 17},
        [{"name": NAMES[0], "class": "Airport", "big": 1 << 80, "none": None, "yes": True}, [[NAMES[1]]]],
    ],
)
def test_plain_containers_are_read(tmp_path: Path, content: object, protocol: int) -> None:
    (tmp_path / "train.pkl").write_bytes(pickle.dumps(content, protocol))
    assert read_split_list(str(tmp_path / "train.pkl")) == NAMES


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [set, frozenset])
def test_sets_are_read_however_a_protocol_writes_them(tmp_path: Path, kind: type, protocol: int) -> None:
    (tmp_path / "train.pkl").write_bytes(pickle.dumps({"x": kind(NAMES)}, protocol))
    assert set(read_split_list(str(tmp_path / "train.pkl"))) == set(NAMES)


def test_names_without_endings_are_read(tmp_path: Path) -> None:
    (tmp_path / "train.pkl").write_bytes(pickle.dumps({"Airport": ["airport_1", "airport_2"]}))
    assert read_split_list(str(tmp_path / "train.pkl")) == ("airport_1", "airport_2")


def test_text_and_json_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*NAMES, "", NAMES[0]]).encode())
    (tmp_path / "a.json").write_text(json.dumps({"train": NAMES}))
    assert read_split_list(str(tmp_path / "a.txt")) == NAMES
    assert read_split_list(str(tmp_path / "a.json")) == NAMES


class Shell:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


class Evaluated:
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("__import__('pathlib').Path('pwned').touch()",)


MALICIOUS = {
    "a call of the shell": (pickle.dumps([Shell(), *NAMES]), "system"),
    "a call of the shell, old protocol": (pickle.dumps([Shell()], 0), "system"),
    "eval": (pickle.dumps(Evaluated(), 2), "eval"),
    "eval as a value": (pickle.dumps([eval, *NAMES]), r"builtins\.eval"),
    "a call behind a name that is dropped": (b"cos\nsystem\n0" + pickle.dumps(list(NAMES), 0), r"os\.system"),
    "a set made by something else": (b"cbuiltins\nset\n(S'x'\ntR.", "a set from something"),
    "a name made of pieces": (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.", r"os\.system"),
    "an instance": (b"(S'touch pwned'\nios\nsystem\n.", "INST"),
    "an object": (b"(cbuiltins\nset\nS'x'\no.", "OBJ"),
    "a persistent identity": (b"Px\n.", "PERSID"),
    "a registered extension": (b"\x80\x02\x82\x01.", "EXT1"),
    "state for a container": (b"\x80\x02](K\x01b.", "BUILD"),
    "an ordered dictionary": (pickle.dumps(OrderedDict(a=NAMES[0])), "OrderedDict"),
    "an array": (pickle.dumps(np.array(NAMES)), "numpy"),
    "bytes": (pickle.dumps([b"airport_1.jpg"], 3), "BINBYTES"),
    "a number that is not whole": (pickle.dumps([1.5]), "BINFLOAT"),
    "bytes said to be longer than any memory": (b"\x80\x05\x8e" + struct.pack("<Q", 1 << 50) + b"x.", "damaged"),
    "text said to be longer than the file": (b"\x80\x02X\xff\xff\xff\x7fshort.", "damaged"),
    "a number of many digits": (b"I" + b"9" * 100_000 + b"\n.", "damaged"),
    "no pickle": (b"<html>404</html>", "damaged"),
    "half a pickle": (pickle.dumps(list(NAMES))[:-20], "damaged"),
    "nothing": (b"", "damaged"),
}


@pytest.mark.parametrize("what", MALICIOUS)
def test_what_asks_for_more_than_plain_values_is_refused(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data, expected = MALICIOUS[what]
    (tmp_path / "train.pkl").write_bytes(data)
    with pytest.raises(DataError, match=rf"train\.pkl is refused: .*{expected}") as caught:
        read_split_list("train.pkl")
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    assert [path.name for path in tmp_path.iterdir()] == ["train.pkl"], "nothing was run"


def test_nesting_of_any_depth_costs_no_stack(tmp_path: Path) -> None:
    name = pickle.dumps(NAMES[0], 2)[2:-1]
    (tmp_path / "deep.pkl").write_bytes(b"\x80\x02" + b"]" * 300_000 + name + b"a" * 300_000 + b".")
    assert read_split_list(str(tmp_path / "deep.pkl")) == NAMES[:1]
    (tmp_path / "deep.json").write_text("[" * 300_000)
    with pytest.raises(DataError, match="no JSON"):
        read_split_list(str(tmp_path / "deep.json"))


def test_references_do_not_multiply(tmp_path: Path) -> None:
    """Sixty lists, each of twenty times the one before: 20^60 names for a reader that walks through all."""
    first = b"]q\x00" + pickle.dumps(NAMES[0], 2)[2:-1] + b"a"
    laughs = b"".join(b"]q" + bytes([n + 1]) + b"(" + (b"h" + bytes([n])) * 20 + b"e" for n in range(60))
    (tmp_path / "laughs.pkl").write_bytes(b"\x80\x02" + first + laughs + b".")
    started_s = time.monotonic()
    assert read_split_list(str(tmp_path / "laughs.pkl")) == NAMES[:1]
    assert time.monotonic() - started_s < 5


def test_a_list_within_itself_ends(tmp_path: Path) -> None:
    endless: list[object] = [NAMES[0]]
    endless.append(endless)
    (tmp_path / "loop.pkl").write_bytes(pickle.dumps(endless))
    assert read_split_list(str(tmp_path / "loop.pkl")) == NAMES[:1]


def test_the_greatest_memo_index_costs_nothing(tmp_path: Path) -> None:
    name = pickle.dumps(NAMES[0], 2)[2:-1]
    (tmp_path / "memo.pkl").write_bytes(b"\x80\x02" + name + b"r\xff\xff\xff\xff0j\xff\xff\xff\xff.")
    assert read_split_list(str(tmp_path / "memo.pkl")) == NAMES[:1]


def test_long_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    with (tmp_path / "long.pkl").open("wb") as stream:
        stream.truncate(MAX_LIST_BYTES + 1)
    with pytest.raises(DataError, match="more than 16,777,216 bytes"):
        read_split_list(str(tmp_path / "long.pkl"))


def test_lists_that_say_nothing_are_named(tmp_path: Path) -> None:
    for name, data in (("a.txt", b"\n\n"), ("a.json", b"[1, 2]"), ("a.pkl", pickle.dumps([1]))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=f"{name} names no image"):
            read_split_list(str(tmp_path / name))
    (tmp_path / "b.txt").write_bytes(pickle.dumps([1.0]))
    with pytest.raises(DataError, match=r"no text in UTF-8.*\.pkl"):
        read_split_list(str(tmp_path / "b.txt"))
    with pytest.raises(ObjectMissing, match="none"):
        read_split_list(str(tmp_path / "none.txt"))


def test_lists_are_read_from_s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    server = request.getfixturevalue("s3_server")
    server.use(monkeypatch)
    uri = server.make_bucket()
    open_store(uri).write_bytes("lists/my train.pkl", pickle.dumps(list(NAMES)))
    assert read_split_list(f"{uri}/lists/my train.pkl") == NAMES


KEYS = ["AID/Airport/airport_1.jpg", "AID/Airport/airport_2.jpg", "AID/Beach/beach_2.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        "airport_1.jpg",
        "airport_1",
        "airport_1.png",
        "AIRPORT_1.JPG",
        "/home/author/data/AID/Airport/airport_1.jpg",
        "D:\\data\\AID\\Airport\\airport_1.jpg",
        "./Airport/airport_1.jpg",
    ],
)
def test_names_are_found_whatever_disk_they_come_from(name: str) -> None:
    assert assign_splits(KEYS, {"train": [name], "test": ["beach_2.jpg"]}) == {KEYS[0]: "train", KEYS[2]: "test"}


def test_folders_tell_images_of_one_name_apart() -> None:
    keys = ["farm/1.jpg", "river/1.jpg", "river/1.png", "old/river/1.jpg"]
    lists = {"train": ["/x/farm/1.jpg", "old/river/1.jpg"], "test": ["river/1.png"]}
    assert assign_splits(keys, lists) == {  # type: ignore[arg-type]  # literals
        "farm/1.jpg": "train",
        "old/river/1.jpg": "train",
        "river/1.png": "test",
    }
    with pytest.raises(DataError, match=r"'1\.jpg' of a split list may be .* or "):
        assign_splits(keys, {"train": ["1.jpg"]})


def test_an_image_in_two_splits_is_named() -> None:
    with pytest.raises(DataError, match=r"airport_1\.jpg is on the lists of both train and test"):
        assign_splits(KEYS, {"train": ["airport_1.jpg"], "test": ["Airport/airport_1"]})


def test_a_list_of_another_dataset_is_named() -> None:
    with pytest.raises(DataError, match=r"None of the 2 images on the test list is there: 'x\.jpg'.*airport_1"):
        assign_splits(KEYS, {"train": ["airport_1.jpg"], "test": ["x.jpg", "\x1b[31my.jpg"]})


def test_missing_images_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assign_splits(KEYS, {"train": ["airport_1.jpg", "airport_9.jpg"]})
    assert "1 of 2 images on the train list are not there: 'airport_9.jpg'" in caplog.text

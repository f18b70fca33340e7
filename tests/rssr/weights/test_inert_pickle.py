import io
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from rssr.errors import WeightsError
from rssr.weights.lightning import read_lightning


def with_pickle(folder: Path, stream: bytes, storages: dict[str, bytes] | None = None) -> Path:
    """An archive of PyTorch with a pickle of one's own."""
    file = folder / "last.ckpt"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", stream)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
        for key, data in (storages or {"0": bytes(24)}).items():
            archive.writestr(f"archive/data/{key}", data)
    return file


def tensor_pickle(
    function: str = "torch._utils\n_rebuild_tensor_v2",
    storage: bytes | None = None,
    offset: int = 0,
    shape: tuple[Any, ...] = (2, 3),
    strides: tuple[Any, ...] = (3, 1),
    num_values: int = 6,
) -> bytes:
    """`{"x": <what is beside tensors>, "w": tensor}`, with every part of the tensor to choose."""
    identity = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + constant(num_values) + b"tQ"
    )  # fmt: skip
    arguments = (storage or identity) + constant(offset) + constant(shape) + constant(strides) + b"\x89}"
    return b"\x80\x02}(X\x01\x00\x00\x00wc" + function.encode() + b"\n(" + arguments + b"tRu."


def constant(value: Any) -> bytes:
    """The opcodes of a plain value, without the frame around them."""
    return pickle.dumps(value, protocol=2)[2:-1]


def test_the_hand_made_file_is_right_where_nothing_is_wrong_with_it(tmp_path: Path) -> None:
    data = struct.pack("<6f", *range(6))
    # An instruction that only the reader for objects accepts: an instance of a class, dropped again.
    stream = tensor_pickle().replace(b"\x80\x02}", b"\x80\x02(inowhere\nNothing\n0}")
    state = read_lightning(with_pickle(tmp_path, stream, {"0": data})).state
    assert torch.equal(state["w"], torch.arange(6.0).reshape(2, 3))


OTHER = b"cposix\nmkdir\n(X\x05\x00\x00\x00ownedtR"
IMPOSSIBLE: dict[str, tuple[bytes, str]] = {
    "reaches beyond": (tensor_pickle(shape=(2, 4)), "beyond its storage"),
    "offset": (tensor_pickle(offset=5), "beyond its storage"),
    "huge offset": (tensor_pickle(offset=1 << 70), "beyond its storage"),
    "huge strides": (tensor_pickle(strides=(1 << 62, 1)), "beyond its storage"),
    "huge shape without strides": (tensor_pickle(shape=(1 << 40, 1 << 40), strides=(0, 0)), "values is beyond"),
    "negative stride": (tensor_pickle(strides=(-3, 1), offset=3), "where a count belongs"),
    "negative size": (tensor_pickle(shape=(-2, 3)), "where a count belongs"),
    "negative offset": (tensor_pickle(offset=-1), "where a count belongs"),
    "too few strides": (tensor_pickle(strides=(1,)), "strides"),
    "many dimensions": (tensor_pickle(shape=(1,) * 70, strides=(1,) * 70), "no short tuple"),
    "text in the shape": (tensor_pickle(shape=("2", 3)), "where a count belongs"),
    "storage shorter than said": (tensor_pickle(num_values=1 << 40, shape=(1 << 20, 3)), "has 24 bytes"),
    "storage longer than said": (tensor_pickle(num_values=2, shape=(1, 2)), "has 24 bytes"),
    "negative storage": (tensor_pickle(num_values=-1), "where a count belongs"),
    "object as storage": (tensor_pickle(storage=OTHER), "known storage"),
    "object in the shape": (tensor_pickle().replace(constant((2, 3)), OTHER), "no short tuple"),
    "object as persistent identity": (tensor_pickle(storage=OTHER + b"Q"), "no storage"),
    "parameter of an object": (
        b"\x80\x02}(X\x01\x00\x00\x00wctorch._utils\n_rebuild_parameter\n(" + OTHER + b"\x89}tRu.",
        "other than a tensor",
    ),
    "another function of torch": (tensor_pickle(function="torch\nas_strided"), "no tensors: w"),
    "unknown storage type": (tensor_pickle().replace(b"FloatStorage", b"StrangeThing"), "known storage"),
    "missing storage": (tensor_pickle().replace(b"X\x01\x00\x00\x000X", b"X\x01\x00\x00\x007X"), "is missing"),
    "storage outside the folder": (
        tensor_pickle().replace(b"X\x01\x00\x00\x000X", b"X\x0b\x00\x00\x00../../etc/xX"),
        "is missing",
    ),
    "dictionary from arguments": (b"\x80\x02ccollections\nOrderedDict\n((lp0\ntR.", "made from arguments"),
    "nothing": (b"", "damaged"),
    "no stop": (b"\x80\x02}", "damaged"),
    "empty stack": (b"\x80\x02.", "damaged"),
    "mark as value": (b"\x80\x02(.", "damaged"),
    "unknown memo": (b"\x80\x02h\x07.", "damaged"),
    "text said to be long": (b"\x80\x02X\xff\xff\xff\x7fshort.", "damaged"),
    "bytes said to be longer than any memory": (b"\x80\x05\x8e" + struct.pack("<Q", 1 << 50) + b"short.", "damaged"),
    "long number": (b"\x80\x02I" + b"9" * 10_000 + b"\n.", "damaged"),
    "items to a number": (b"\x80\x02K\x01(K\x02e.", "adds items to a int"),
    "odd items": (b"\x80\x02}(K\x02u.", "damaged"),
    "buffer outside": (b"\x80\x05\x97.", "uses NEXT_BUFFER"),
    "name with an escape": (tensor_pickle().replace(b"X\x01\x00\x00\x00w", b"X\x02\x00\x00\x00\x1bw"), "no plain name"),
    "not a mapping": (b"\x80\x02]K\x01a.", "no tensors by name"),
}  # fmt: skip


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_impossible_content_is_one_error(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stream, expected = IMPOSSIBLE[what]
    with pytest.raises(WeightsError, match=expected):
        read_lightning(with_pickle(tmp_path, stream))
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_memo_with_the_greatest_index_costs_nothing(tmp_path: Path) -> None:
    stream = tensor_pickle().replace(b"\x80\x02}", b"\x80\x02}r\xff\xff\xff\xff0j\xff\xff\xff\xff")
    assert list(read_lightning(with_pickle(tmp_path, stream)).state) == ["w"]


@pytest.mark.parametrize("nesting", [b"\x85", b"]a", b"}K\x01"])
def test_deep_nesting_is_no_recursion(nesting: bytes, tmp_path: Path) -> None:
    deep = {
        b"\x85": b")" + b"\x85" * 300_000,  # a tuple in a tuple ...
        b"]a": b"]" * 300_000 + b"a" * 299_999,
        b"}K\x01": b"}" + b"K\x01}" * 200_000 + b"s" * 200_000,
    }[nesting]
    stream = tensor_pickle().replace(b"\x80\x02}(", b"\x80\x02}(" + deep + b"K\x01")
    with pytest.raises(WeightsError, match="no tensors: Inert"):  # the nest is a key, and its value no tensor
        read_lightning(with_pickle(tmp_path, stream))


def test_references_do_not_multiply(tmp_path: Path) -> None:
    """Lists of lists of the same lists would be endless if anything walked through them."""
    laughs = b"]q\x00" + b"".join(b"]q" + bytes([n + 1]) + b"(" + (b"h" + bytes([n])) * 20 + b"e" for n in range(60))
    stream = b"\x80\x02}(X\x04\x00\x00\x00junk" + laughs + b"0" * 61 + b"h\x3cX\x0a\x00\x00\x00state_dict"
    stream += tensor_pickle()[2:-1] + b"u."
    assert list(read_lightning(with_pickle(tmp_path, stream)).state) == ["w"]


def test_garbled_pickles_are_refused_or_read_but_never_crash(tmp_path: Path) -> None:
    """With checksums that fit, so that the walk through the pickle itself is what is tried."""
    content = {"state_dict": {"a": torch.ones(3), "b": torch.zeros(2, 2)}, "other": [Path("x"), {1, 2}, (1.5, None)]}
    torch.save(content, stored := io.BytesIO())
    with zipfile.ZipFile(stored) as archive:
        root = archive.namelist()[0].split("/")[0]
        whole = archive.read(f"{root}/data.pkl")
        keys = [name.rpartition("/")[2] for name in archive.namelist() if "/data/" in name]
        storages = {key: archive.read(f"{root}/data/{key}") for key in keys}
    draw, refused = random.Random(3), 0
    for _ in range(200):
        garbled = bytearray(whole)
        for _ in range(draw.choice([1, 3, 20])):
            garbled[draw.randrange(len(whole))] = draw.randrange(256)
        try:
            read_lightning(with_pickle(tmp_path, bytes(garbled), storages))
        except WeightsError:
            refused += 1
    assert refused > 60

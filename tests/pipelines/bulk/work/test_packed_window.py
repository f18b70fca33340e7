import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.bulk.work.packed_window import HEAD_BYTES, header_bytes, pack_window, read_header, read_strip

STRIPS = [
    np.random.default_rng(0).standard_normal((3, 5, 7)).astype(np.float32),
    np.random.default_rng(1).standard_normal((3, 2, 7)).astype(np.float32),
]


def pack(strips: Sequence[NDArray[np.float32]] = STRIPS, **meta: object) -> bytes:
    return b"".join(pack_window(strips, meta))


def test_what_is_packed_is_unpacked_to_the_bit() -> None:
    special = np.array([[[np.nan, np.inf, -0.0, 1e-45]]], np.float32)
    data = pack([*STRIPS, special], num_skipped=3, note="é")
    header = read_header(data[: header_bytes(data)])
    assert header.meta == {"num_skipped": 3, "note": "é"}
    assert header.num_bytes == len(data)
    for place, strip in zip(header.strips, [*STRIPS, special], strict=True):
        found = read_strip(place, data[place.start : place.start + place.num_bytes])
        assert found.dtype == np.float32
        assert found.tobytes() == strip.tobytes()
        assert found.shape == strip.shape


def test_strips_of_any_layout_and_byte_order_are_packed_alike() -> None:
    odd = [strip.astype(">f4").copy(order="F") for strip in STRIPS]
    assert pack(odd) == pack()


def test_equal_windows_are_equal_bytes() -> None:
    assert pack(a=1, b=2) == pack(b=2, a=1)


def test_strips_are_not_copied() -> None:
    chunks = list(pack_window(STRIPS, {}))
    assert np.shares_memory(np.frombuffer(chunks[1], np.float32), STRIPS[0])


def test_strips_begin_where_notes_of_other_lengths_leave_them() -> None:
    short, long = (read_header(pack(note=note)) for note in ("", "x" * 1000))
    assert short.strips == long.strips


def test_a_header_may_be_long() -> None:
    data = pack(note="x" * 10_000)
    assert header_bytes(data[:HEAD_BYTES]) == 3 * HEAD_BYTES
    assert read_header(data[: 3 * HEAD_BYTES]).meta["note"] == "x" * 10_000


def test_a_window_of_nothing_is_fine() -> None:
    assert read_header(pack([])).strips == ()
    empty = read_header(pack([np.zeros((0, 4, 4), np.float32)])).strips[0]
    assert read_strip(empty, b"").shape == (0, 4, 4)


def test_every_damaged_byte_is_noticed() -> None:
    data = pack(num=1)
    header = read_header(data)
    in_use = [*range(16), *range(16, 16 + 40), *itertools.chain(*(range(p.start, p.start + 30) for p in header.strips))]
    for position in in_use:
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(ValueError, match=r"damaged|begin|content"):
            read_all(bytes(damaged))


@pytest.mark.parametrize("length", [0, 10, 100, 4096, 4100, 4096 + 3 * 5 * 7 * 4, -1])
def test_a_window_that_ends_early_is_noticed(length: int) -> None:
    with pytest.raises(ValueError, match=r"ends|damaged"):
        read_all(pack()[:length])


def read_all(data: bytes) -> None:
    for place in read_header(data[: header_bytes(data[:HEAD_BYTES])]).strips:
        read_strip(place, data[place.start : place.start + place.num_bytes])

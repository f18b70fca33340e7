"""Computed windows are read strip by strip by any process, and trusted only when they are what was written."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.bulk.records import WORK_FOLDER
from pipelines.bulk.work import work_objects
from pipelines.bulk.work.work_objects import WindowObjects
from pipelines.storage import ObjectDamaged, ObjectMissing, open_store
from pipelines.storage.local import LocalStore
from rssr.tiling import plan_tiles
from rssr.windows import TileWindow, assemble, plan_windows
from tests.pipelines.bulk.outputs import KINDS, Output, make_output

NAME = "2021/T32 é"
STRIPS = [np.random.default_rng(row).standard_normal((2, 30, 50)).astype(np.float32) for row in range(3)]


@pytest.fixture(params=KINDS)
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Output]:
    yield make_output(request, tmp_path)


@pytest.fixture
def objects(tmp_path: Path) -> WindowObjects:
    return WindowObjects(open_store(str(tmp_path)))


def stored(tmp_path: Path) -> Path:
    """The one window that lies there."""
    (found,) = (path for path in (tmp_path / WORK_FOLDER).rglob("r*") if path.is_file())
    return found


def test_what_is_kept_is_fetched(output: Output) -> None:
    objects = WindowObjects(output.store)
    objects.put(NAME, "r0000c0000", STRIPS, {"num_skipped": 2})
    for reader in (objects, pickle.loads(pickle.dumps(objects)), WindowObjects(output.store)):
        for row, strip in enumerate(STRIPS):
            np.testing.assert_array_equal(reader.fetch(NAME, "r0000c0000", row), strip)
        assert reader.read_meta(NAME, "r0000c0000") == {"num_skipped": 2}


def test_large_windows_are_streamed(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_objects, "_AT_ONCE_BYTES", 1000)
    objects = WindowObjects(output.store)
    objects.put(NAME, "r0000c0000", STRIPS, {})
    np.testing.assert_array_equal(objects.fetch(NAME, "r0000c0000", 2), STRIPS[2])
    assert len(output.store.list()) == 1


def test_one_look_tells_what_is_there(output: Output) -> None:
    objects = WindowObjects(output.store)
    assert objects.has(NAME) == set()
    for key in ("r0000c0000", "r0001c0000"):
        objects.put(NAME, key, STRIPS, {})
    objects.put_failed(NAME, "r0000c0001", "Memory was short — even for one tile.")
    objects.put_failed(NAME, "r0001c0000", "An earlier attempt.")
    objects.put(f"{NAME}/r0000c0000", "r0007c0007", STRIPS, {})
    look = objects.look(NAME)
    assert look.finished == objects.has(NAME) == {"r0000c0000", "r0001c0000"}
    assert look.failed == {"r0000c0001"}, "what was computed after all has not failed"
    assert look.num_bytes > 2 * sum(strip.nbytes for strip in STRIPS)
    assert objects.read_failed(NAME) == {"r0000c0001": "Memory was short — even for one tile."}
    objects.forget_failed(NAME)
    assert objects.read_failed(NAME) == {}
    objects.delete(NAME)
    assert objects.look(NAME) == work_objects.StoredWork(frozenset(), frozenset(), 0)
    assert objects.has(f"{NAME}/r0000c0000") == {"r0007c0007"}, "another scene's"


def test_what_is_not_there_is_missed(objects: WindowObjects) -> None:
    with pytest.raises(ObjectMissing):
        objects.fetch(NAME, "r0000c0000", 0)


@pytest.mark.parametrize("row", [3, -1])
def test_a_strip_that_the_window_does_not_have_is_refused(objects: WindowObjects, row: int) -> None:
    objects.put(NAME, "r0000c0000", STRIPS, {})
    with pytest.raises(ObjectDamaged, match="3 rows of tiles"):
        objects.fetch(NAME, "r0000c0000", row)


@pytest.mark.parametrize("is_remembered", [False, True])
def test_a_damaged_strip_is_noticed_and_the_others_are_sound(
    objects: WindowObjects, tmp_path: Path, is_remembered: bool
) -> None:
    objects.put(NAME, "r0000c0000", STRIPS, {})
    if is_remembered:
        objects.fetch(NAME, "r0000c0000", 0)
    data = bytearray(stored(tmp_path).read_bytes())
    data[-5] ^= 1
    stored(tmp_path).write_bytes(data)
    np.testing.assert_array_equal(objects.fetch(NAME, "r0000c0000", 1), STRIPS[1])
    with pytest.raises(ObjectDamaged, match=r"r0000c0000 is damaged.*computed anew"):
        objects.fetch(NAME, "r0000c0000", 2)
    objects.delete_window(NAME, "r0000c0000")
    assert objects.has(NAME) == set()
    objects.put(NAME, "r0000c0000", STRIPS, {})
    np.testing.assert_array_equal(objects.fetch(NAME, "r0000c0000", 2), STRIPS[2])


@pytest.mark.parametrize("length", [0, 20, 4096, -1])
def test_a_window_that_ends_early_is_noticed(objects: WindowObjects, tmp_path: Path, length: int) -> None:
    objects.put(NAME, "r0000c0000", STRIPS, {})
    stored(tmp_path).write_bytes(stored(tmp_path).read_bytes()[:length])
    with pytest.raises(ObjectDamaged, match="r0000c0000 is damaged"):
        objects.fetch(NAME, "r0000c0000", 2)


def test_a_window_that_was_computed_again_is_read_as_it_is_now(tmp_path: Path) -> None:
    one, other = WindowObjects(open_store(str(tmp_path))), WindowObjects(open_store(str(tmp_path)))
    one.put(NAME, "r0000c0000", STRIPS, {})
    one.fetch(NAME, "r0000c0000", 0)
    other.put(NAME, "r0000c0000", STRIPS[::-1], {"note": "x" * 9000})
    np.testing.assert_array_equal(one.fetch(NAME, "r0000c0000", 0), STRIPS[2])


class Counting(LocalStore):
    """Counts the bytes that are read."""

    num_bytes = 0

    def read_range(self, key: str, start: int, num_bytes: int) -> bytes:
        data = super().read_range(key, start, num_bytes)
        Counting.num_bytes += len(data)
        return data


def test_only_the_strip_asked_for_is_read(tmp_path: Path) -> None:
    objects = WindowObjects(Counting(tmp_path))
    objects.put(NAME, "r0000c0000", STRIPS, {})
    Counting.num_bytes = 0
    objects.fetch(NAME, "r0000c0000", 1)
    objects.fetch(NAME, "r0000c0000", 2)
    assert Counting.num_bytes == 4096 + STRIPS[1].nbytes + STRIPS[2].nbytes


def test_a_scene_assembled_from_stored_windows_is_that_of_one_run(objects: WindowObjects) -> None:
    plan = plan_tiles((40, 52), (80, 104), tile_size=16, halo=4)
    windows = plan_windows(plan, tiles_a_side=2)
    assert len(windows) > 4
    whole = np.random.default_rng(5).standard_normal((2, *plan.sr_size)).astype(np.float32)

    def strip(window: TileWindow, row: int) -> NDArray[np.float32]:
        return np.ascontiguousarray(whole[:, slice(*plan.rows[row].sr), window.sr_columns(plan)])

    for window in windows:
        objects.put(NAME, window.key, [strip(window, row) for row in window.rows], {})
    expected = list(assemble(plan, windows, strip))
    found = list(assemble(plan, windows, objects.fetcher(NAME)))
    assert [first for first, _ in found] == [first for first, _ in expected]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)

"""The search by buckets finds what comparing all pairs finds."""

import time

import numpy as np
import pytest

from pipelines.ingest import near_duplicates
from pipelines.ingest.fingerprint import NUM_ORIENTATIONS, fingerprint, oriented_hashes, oriented_thumbnails
from pipelines.ingest.near_duplicates import Fingerprints, near_pairs
from rssr.scenes import SCENE_KINDS, generate_scene

ANYTHING = -1.0


def random_marks(number: int, seed: int, planted: int = 0) -> Fingerprints:
    """Hashes without relation, the last of which repeat the first, turned and with up to ten bits changed."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, number, dtype=np.uint64)
    thumbnails = rng.integers(0, 256, (number, 16, 16), dtype=np.uint8)
    for copy in range(planted):
        orientation = int(rng.integers(NUM_ORIENTATIONS))
        changed = np.bitwise_or.reduce(np.uint64(1) << rng.choice(64, copy % 11, replace=False).astype(np.uint64))
        hashes[-1 - copy] = oriented_hashes(hashes[copy : copy + 1], orientation)[0] ^ changed
        thumbnails[-1 - copy] = oriented_thumbnails(thumbnails[copy : copy + 1], orientation)[0]
    return Fingerprints(hashes, thumbnails)


def all_pairs(one: Fingerprints, other: Fingerprints | None, max_distance: int) -> set[tuple[int, int, int]]:
    second = one if other is None else other
    least = np.full((len(one.hashes), len(second.hashes)), 65)
    for orientation in range(NUM_ORIENTATIONS):
        turned = oriented_hashes(one.hashes, orientation)
        least = np.minimum(least, np.bitwise_count(turned[:, None] ^ second.hashes[None]))
    return {
        (int(i), int(j), int(least[i, j]))
        for i, j in zip(*np.nonzero(least <= max_distance), strict=True)
        if other is not None or i < j
    }


@pytest.mark.parametrize("max_distance", [0, 3, 4, 7, 10, 15])
def test_every_near_pair_within_a_dataset_is_found(max_distance: int) -> None:
    marks = random_marks(300, 1, planted=44)
    pairs = near_pairs(marks, None, max_distance, ANYTHING)
    found = set(zip(*(column.tolist() for column in pairs[:3]), strict=True))
    assert found == all_pairs(marks, None, max_distance)
    assert len(found) >= 4 * (min(max_distance, 10) + 1)


@pytest.mark.parametrize("max_distance", [5, 9])
def test_every_near_pair_between_datasets_is_found(max_distance: int) -> None:
    marks = random_marks(300, 2, planted=44)
    one = Fingerprints(marks.hashes[:150], marks.thumbnails[:150])
    other = Fingerprints(marks.hashes[150:], marks.thumbnails[150:])
    pairs = near_pairs(one, other, max_distance, ANYTHING)
    assert set(zip(*(column.tolist() for column in pairs[:3]), strict=True)) == all_pairs(one, other, max_distance)


def test_large_buckets_are_searched_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = random_marks(200, 3)
    alike = Fingerprints(marks.hashes & np.uint64(0xFFFF000000000003), marks.thumbnails)
    expected = near_pairs(alike, None, 7, ANYTHING)
    monkeypatch.setattr(near_duplicates, "_PAIRS_AT_ONCE", 50)
    monkeypatch.setattr(near_duplicates, "_QUERIES_AT_ONCE", 30)
    in_pieces = near_pairs(alike, None, 7, ANYTHING)
    assert [column.tolist() for column in in_pieces] == [column.tolist() for column in expected]
    assert len(expected.one) > 1000


def test_thumbnails_throw_out_chance() -> None:
    marks = random_marks(200, 4, planted=8)
    other = Fingerprints(marks.hashes, random_marks(200, 5).thumbnails)
    assert len(near_pairs(marks, None, 7, 0.9).one) == 8
    assert len(near_pairs(other, None, 7, ANYTHING).one) == 8
    assert len(near_pairs(other, None, 7, 0.9).one) == 0


def test_nothing_is_near_nothing() -> None:
    none = random_marks(0, 0)
    assert len(near_pairs(none, None, 7, 0.9).one) == 0
    assert len(near_pairs(random_marks(5, 0), none, 7, 0.9).one) == 0


def test_no_two_procedural_scenes_look_alike() -> None:
    scenes = [generate_scene(seed, 96, 96, gsd_m=1.0, kind=kind) for kind in SCENE_KINDS for seed in range(12)]
    found = [mark for scene in scenes if (mark := fingerprint(scene)) is not None]
    marks = Fingerprints(np.array([mark.phash for mark in found], np.uint64), np.stack([m.thumbnail for m in found]))
    assert len(found) == len(scenes)
    assert near_pairs(marks, None, 11, 0.9).one.tolist() == []


def test_the_search_grows_little_faster_than_the_number_of_pictures() -> None:
    times = []
    for number in (2_000, 20_000):
        marks = random_marks(number, 6)
        start = time.process_time()
        near_pairs(marks, None, 7, 0.9)
        times.append(time.process_time() - start)
    assert times[1] < 40 * times[0], "comparing all pairs would take a hundred times as long"

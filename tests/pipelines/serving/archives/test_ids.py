"""Names of archives."""

import time

from pipelines.serving.archives.ids import is_archive_id, made_at_s, new_archive_id


def test_ids_sort_by_time() -> None:
    ids = [new_archive_id(moment) for moment in (0, 1.001, 1.002, 1_800_000_000, 4e10)]
    assert ids == sorted(ids)
    assert len({len(name) for name in ids}) == 1


def test_an_id_tells_when_it_was_made() -> None:
    assert made_at_s(new_archive_id(1_796_000_000.125)) == 1_796_000_000.125
    assert abs(made_at_s(new_archive_id()) - time.time()) < 60


def test_ids_of_one_moment_differ() -> None:
    ids = {new_archive_id(1.0) for _ in range(100)}
    assert len(ids) == 100
    assert len({name[:13] for name in ids}) == 1


def test_only_ids_are_taken_for_ids() -> None:
    name = new_archive_id()
    assert is_archive_id(name)
    assert not any(map(is_archive_id, ("", name[:-1], f"{name}a", name.upper(), f"{name}\n", "../etc/passwd", "ar_")))

from hypothesis import given
from hypothesis import strategies as st

from pipelines.bulk.commits.scene_keys import scene_part

names = st.text(min_size=1, max_size=400)


def test_plain_names_stay_as_they_are() -> None:
    assert scene_part("T32TQS_20210704-v1.2") == "T32TQS_20210704-v1.2"
    assert scene_part("2021/T32TQS") == "2021%2FT32TQS"


@given(names)
def test_every_name_is_one_part_of_a_key(name: str) -> None:
    part = scene_part(name)
    assert "/" not in part
    assert not part.startswith(".")
    assert 0 < len(part.encode()) <= 160
    assert part == scene_part(name)


@given(names, names)
def test_other_names_are_other_parts(one: str, other: str) -> None:
    assert (scene_part(one) == scene_part(other)) == (one == other)


def test_names_that_differ_at_their_end_are_told_apart() -> None:
    long = "x" * 500
    parts = {scene_part(name) for name in (long, long + "y", long + "/y", f"{long[:96]}+{'0' * 40}")}
    assert len(parts) == 4


def test_names_that_are_no_text_are_fine() -> None:
    assert scene_part("caf\udce9") == "caf%E9"

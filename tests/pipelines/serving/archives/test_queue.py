"""Who is next."""

import pytest

from pipelines.serving.archives.config import ArchivesConfig
from pipelines.serving.archives.queue import in_turn, next_to_begin, require_room
from pipelines.serving.problems import Problem
from tests.pipelines.serving.archives.made_archives import ANN, BOB, record

ONE_EACH = ArchivesConfig(max_running=2, max_running_per_caller=1)


def test_everybodys_first_comes_before_anybodys_second() -> None:
    records = [record(ANN, id=name) for name in ("1", "2", "3")] + [record(BOB, id=name) for name in ("4", "5")]
    assert [archive.id for archive in in_turn(records)] == ["1", "4", "2", "5", "3"]


def test_who_has_one_running_waits_for_those_who_have_none() -> None:
    records = [record(ANN, "running", id="1"), record(ANN, id="2"), record(BOB, id="3")]
    assert [archive.id for archive in in_turn(records)] == ["3", "2"]


def test_nobody_has_more_running_than_allowed() -> None:
    records = [record(ANN, "running", id="1"), record(ANN, id="2")]
    assert next_to_begin(records, {"1"}, (), ONE_EACH) is None
    assert next_to_begin([*records, record(BOB, id="3")], {"1"}, (), ONE_EACH) == record(BOB, id="3")


def test_no_more_run_than_there_are_places() -> None:
    records = [record(ANN, "running", id="1"), record(BOB, "running", id="2"), record(id="3", caller=ANN)]
    assert next_to_begin(records, {"1", "2"}, (), ArchivesConfig(max_running=2, max_running_per_caller=2)) is None


def test_what_a_dead_runner_left_goes_on_before_anything_new() -> None:
    records = [record(ANN, id="1"), record(ANN, "running", id="2")]
    assert next_to_begin(records, (), (), ONE_EACH) == records[1]


def test_what_rests_after_a_failure_is_passed_over() -> None:
    records = [record(ANN, "running", id="1"), record(BOB, id="2")]
    assert next_to_begin(records, (), {"1"}, ONE_EACH) == records[1]


def test_two_archives_never_write_to_one_output_at_a_time() -> None:
    first = record(ANN, "running", id="1", output="s3://out")
    records = [first, record(BOB, id="2", output="s3://out"), record(BOB, id="3", output="s3://other")]
    following = next_to_begin(records, {"1"}, (), ONE_EACH)
    assert following is not None and following.id == "3"


@pytest.mark.parametrize("output", ["s3://out/2026", "s3://out/2026/", "s3a://out/2026/july", "s3://out", "s3://OUT/"])
def test_two_archives_never_write_into_one_anothers_output_at_a_time(output: str) -> None:
    first = record(ANN, "running", id="1", output="s3://out/2026")
    records = [first, record(BOB, id="2", output=output), record(BOB, id="3", output="s3://out/2026b")]
    following = next_to_begin(records, {"1"}, (), ONE_EACH)
    assert following is not None and following.id == "3"


def test_outputs_of_the_service_are_each_archives_own() -> None:
    records = [record(ANN, "running", id="1"), record(BOB, id="2")]
    assert next_to_begin(records, {"1"}, (), ONE_EACH) == records[1]


def test_a_caller_with_too_many_queued_is_told_when_to_come_back() -> None:
    records = [record(ANN), record(ANN), record(ANN, "running"), record(BOB)]
    require_room("ann", records, ArchivesConfig(max_queued_per_caller=3))
    with pytest.raises(Problem) as caught:
        require_room("ann", records, ArchivesConfig(max_queued_per_caller=2), 17.2)
    assert (caught.value.slug, caught.value.headers) == ("too-many-archives", {"Retry-After": "17"})
    require_room("bob", records, ArchivesConfig(max_queued_per_caller=2))


def test_a_full_queue_turns_everybody_away() -> None:
    with pytest.raises(Problem) as caught:
        require_room("bob", [record(ANN), record(ANN)], ArchivesConfig(max_queued=2), 1e6)
    assert (caught.value.slug, caught.value.headers) == ("busy", {"Retry-After": "600"})

"""Archives as they are written down."""

import json

import pytest

from pipelines.serving.archives.records import ArchiveOptions, ArchiveRequest, Counts, Standing
from tests.pipelines.serving.archives.made_archives import asked

FULL = Standing(
    "failed", "2026-11-29T04:25:00Z", "", 2, "models:/ldcsr/3", Counts({"done": 1}, {"total": 3}), {"slug": "internal"}
)


def test_what_is_written_is_read_back() -> None:
    request = asked(input=("s3://in/ä", "/b"), options=ArchiveOptions(uncertainty=True), idempotency_key="k")
    assert ArchiveRequest.from_json(request.to_json()) == request
    assert Standing.from_json(FULL.to_json()) == FULL


def test_records_of_another_version_are_read_as_far_as_they_go() -> None:
    values = json.loads(FULL.to_json())
    del values["num_attempts"]
    older = Standing.from_json(json.dumps({**values, "mood": "good"}).encode())
    assert (older.num_attempts, older.state) == (0, "failed")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"id": "x", "options": 3}', b"\xff", b'{"options": {}}'])
def test_anything_else_is_no_request(data: bytes) -> None:
    with pytest.raises(ValueError):
        ArchiveRequest.from_json(data)


def test_the_share_of_windows_is_never_more_than_all() -> None:
    assert Counts().share == 0
    assert Counts({}, {"total": 4, "done": 1}).share == 0.25
    assert Counts({}, {"total": 4, "done": 5}).share == 1

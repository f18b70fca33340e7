"""What became of each scene, written once and never trusted when it is damaged."""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.bulk.commits.ledger import TABLE_SCHEMA, Ledger
from pipelines.bulk.records import (
    FAILURES_KEY,
    LEDGER_FOLDER,
    LEDGER_TABLE,
    FailedWindow,
    ProductFile,
    SceneRecord,
)
from pipelines.storage import open_store
from rssr.errors import StorageError
from tests.pipelines.bulk.outputs import KINDS, Output, make_output

DONE = SceneRecord(
    name="2021/T32TQS",
    state="done",
    input_uri="s3://in/2021/T32TQS.tif",
    input_version="abc",
    files=(ProductFile("2021/T32TQS.tif", "data", 1234, "ab" * 32), ProductFile("x.json", "metadata", 5, "cd" * 32)),
    sr_size=(40, 80),
    num_tiles=12,
    num_skipped_tiles=1,
    num_splits=2,
    valid_share=0.75,
    seam_score=1.01,
    mean_consistency=0.1 + 0.2,
    compute_s=1.5,
    write_s=0.5,
    finished_at="2026-11-29T04:25:00Z",
    worker="host:1234",
)
PARTIAL = replace(
    DONE,
    name="partial",
    state="partial",
    reason="One window failed.",
    failed_windows=(FailedWindow("r0000c0001", "Memory was short — even for one tile.", (0, 8), (8, 16)),),
)
FAILED = SceneRecord("failed", "failed", "The file ends in the middle.", "s3://in/failed.tif", "v")

ODD_NAMES = [
    "x" * 251,
    "a/" * 100 + "b",
    "a.json/b",
    "a.json",
    "a",
    "é ü/ß#?%2F&*",
    "..",
    ".hidden",
    "a\nb",
    "日本/衛星",
]


@pytest.fixture(params=KINDS)
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Output]:
    yield make_output(request, tmp_path)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(open_store(str(tmp_path)))


def test_what_is_recorded_is_read(output: Output) -> None:
    ledger = Ledger(output.store)
    for record in (DONE, PARTIAL, FAILED):
        assert ledger.record(record) == record
        assert ledger.read(record.name) == record
    assert ledger.read("another") is None
    found = ledger.read_all()
    assert found == {record.name: record for record in (DONE, PARTIAL, FAILED)}
    assert list(found) == sorted(found)
    assert all(entry.key.startswith(f"{LEDGER_FOLDER}/") for entry in output.store.list())


def test_the_first_record_of_a_scene_stays(output: Output) -> None:
    ledger = Ledger(output.store)
    ledger.record(DONE)
    assert ledger.record(replace(DONE, worker="another:1", compute_s=9.0)) == DONE
    assert ledger.read_all() == {DONE.name: DONE}


def test_any_name_is_fine(output: Output) -> None:
    ledger = Ledger(output.store)
    for name in ODD_NAMES:
        ledger.record(replace(DONE, name=name))
    assert ledger.read_all().keys() == set(ODD_NAMES)
    for name in ODD_NAMES:
        found = ledger.read(name)
        assert found is not None
        assert found.name == name


DAMAGE = {
    "nothing": b"",
    "half": DONE.to_json()[:200],
    "other json": b"[1, 2]",
    "an unknown field": DONE.to_json().replace(b'"num_tiles"', b'"num_tilez"'),
    "files that are none": DONE.to_json().replace(b'"role": "data"', b'"roll": "data"'),
    "of another scene": FAILED.to_json(),
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("data", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_entry_is_told_and_counts_as_absent(
    ledger: Ledger, tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.record(DONE)
    ledger.record(PARTIAL)
    (entry,) = (tmp_path / LEDGER_FOLDER).glob("2021*")
    entry.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert ledger.read_all() == {PARTIAL.name: PARTIAL}
    assert str(entry) in caplog.text
    assert ledger.read(DONE.name) is None
    assert ledger.record(DONE) == DONE, "it is written anew"
    assert ledger.read(DONE.name) == DONE


def test_a_forgotten_scene_can_be_recorded_again(output: Output) -> None:
    ledger = Ledger(output.store)
    ledger.record(FAILED)
    ledger.forget(FAILED.name)
    ledger.forget(FAILED.name)
    assert ledger.read_all() == {}
    again = replace(FAILED, state="done", reason="")
    assert ledger.record(again) == again


def test_many_entries_are_read_whole(ledger: Ledger, tmp_path: Path) -> None:
    records = [replace(DONE, name=f"{number % 7}/{number:05d}") for number in range(2000)]
    (tmp_path / LEDGER_FOLDER).mkdir(parents=True)
    for record in records:
        (tmp_path / LEDGER_FOLDER / f"{record.name.replace('/', '%2F')}.json").write_bytes(record.to_json())
    assert ledger.read_all() == {record.name: record for record in records}


def test_the_table_holds_every_field(ledger: Ledger, tmp_path: Path) -> None:
    ledger.write_table([PARTIAL, FAILED, DONE])
    table = pq.read_table(io.BytesIO((tmp_path / LEDGER_TABLE).read_bytes()))
    assert table.schema.equals(TABLE_SCHEMA)
    assert table.column_names == [field.name for field in fields(SceneRecord)]
    rows = table.to_pylist()
    assert rows == [json.loads(json.dumps(asdict(record))) for record in (DONE, FAILED, PARTIAL)]
    ledger.write_table([])
    assert pq.read_table(io.BytesIO((tmp_path / LEDGER_TABLE).read_bytes())).num_rows == 0


def test_failures_are_named_with_their_reasons(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.write_failures([PARTIAL, DONE, FAILED]) == 2
    lines = [json.loads(line) for line in (tmp_path / FAILURES_KEY).read_text().splitlines()]
    assert lines == [
        {"scene": "failed", "window": None, "reason": FAILED.reason, "input": FAILED.input_uri},
        {
            "scene": "partial",
            "window": "r0000c0001",
            "reason": PARTIAL.failed_windows[0].reason,
            "input": PARTIAL.input_uri,
        },
    ]
    assert ledger.write_failures([DONE]) == 0
    assert (tmp_path / FAILURES_KEY).read_bytes() == b""


def test_a_ledger_that_cannot_be_written_is_told() -> None:
    with pytest.raises(StorageError, match="/sys/rssr"):
        Ledger(open_store("/sys/rssr")).record(DONE)

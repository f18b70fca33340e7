"""A sound run is found sound, and whatever is changed in it is found."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.bulk.commits.ledger import Ledger
from pipelines.bulk.commits.verify import Verification, delete_work, verify_run
from pipelines.bulk.records import LEDGER_FOLDER, WORK_FOLDER, SceneRecord
from pipelines.storage import open_store
from rssr.errors import StorageError
from tests.pipelines.bulk.made_run import FAILED_WINDOW, Run, masked_image
from tests.pipelines.bulk.outputs import KINDS, Output, make_output

TAGS = {"RSSR_FAILED_WINDOWS": '["r0000c0001"]'}


@pytest.fixture(params=KINDS)
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Output]:
    yield make_output(request, tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A local run of two scenes."""
    run = Run(open_store(str(tmp_path / "out")), tmp_path / "scratch")
    run.add("2021/one")
    run.add("two")
    return run


def verify(run: Run) -> Verification:
    return verify_run(run.store, run.planned)


def sentences(run: Run) -> list[str]:
    return [str(problem) for problem in verify(run).problems]


def test_a_sound_run_is_found_sound(output: Output, tmp_path: Path) -> None:
    run = Run(output.store, tmp_path / "scratch")
    run.add("2021/one é")
    run.add("marked", state="marked", reason="Tiles show.")
    run.add("partial", masked_image(), "partial", TAGS, valid_share=0.5, failed_windows=(FAILED_WINDOW,))
    run.add_failed("broken")
    run.add_failed("narrow", refusal="It has no band B08.")
    told: list[tuple[int, int]] = []
    found = verify_run(output.store, run.planned, lambda done, total: told.append((done, total)))
    assert found.problems == ()
    assert found.warnings == ()
    assert found.is_sound
    assert found.states == {"done": 1, "marked": 1, "partial": 1, "failed": 2}
    assert (found.num_scenes, found.num_files) == (5, 12)
    assert found.num_bytes == sum(entry.num_bytes for entry in output.store.list() if "_run/" not in entry.key)
    assert told == [(number, 5) for number in range(1, 6)]
    assert "5 scenes (1 done, 2 failed, 1 marked, 1 partial): 12 files" in found.summary()
    assert "every file is what was written" in found.summary()


def test_a_missing_file_is_found(run: Run) -> None:
    run.store.delete("two.png")
    assert sentences(run) == [f"two: {run.store.uri}/two.png is missing."]


def test_a_changed_byte_is_found(output: Output, tmp_path: Path) -> None:
    run = Run(output.store, tmp_path / "scratch")
    run.add("one")
    data = bytearray(output.store.read_bytes("one.tif"))
    data[len(data) // 2] ^= 1
    output.store.write_bytes("one.tif", bytes(data))
    (sentence,) = sentences(run)
    assert sentence.startswith(f"one: {output.store.uri}/one.tif is not what was written")


def test_a_truncated_file_is_found(run: Run) -> None:
    data = run.store.read_bytes("2021/one.tif")
    run.store.write_bytes("2021/one.tif", data[:-100])
    (sentence,) = sentences(run)
    assert f"2021/one.tif has {len(data) - 100:,} bytes; the ledger says {len(data):,}" in sentence


def test_a_missing_record_is_found(run: Run) -> None:
    Ledger(run.store).forget("two")
    found = verify(run)
    assert [str(problem) for problem in found.problems] == ["two: The ledger has no entry of it, or a damaged one."]
    assert any("4 files" in warning and "two.tif" in warning for warning in found.warnings)


def test_a_damaged_record_is_found(run: Run) -> None:
    run.store.write_bytes(f"{LEDGER_FOLDER}/two.json", b"{")
    assert sentences(run) == ["two: The ledger has no entry of it, or a damaged one."]


def test_strays_are_told_and_harm_nothing(run: Run) -> None:
    run.store.write_bytes("notes.txt", b"mine")
    run.store.write_bytes("_work/two/r0000c0000", b"computed")
    found = verify(run)
    assert found.is_sound
    assert found.warnings == (f"1 files in {run.store.uri} belong to no scene of the ledger: notes.txt.",)


def test_scenes_that_are_not_planned_are_told(run: Run) -> None:
    run.planned.pop()
    found = verify(run)
    assert found.is_sound
    assert found.warnings == ("1 scenes of the ledger are not in the plan: two.",)


def test_files_that_two_scenes_claim_are_found(run: Run) -> None:
    files = verify_files(run, "two")
    Ledger(run.store).forget("2021/one")
    record = replace(files, name="2021/one", input_version=run.planned[0].scene.version)
    Ledger(run.store).record(record)
    assert any("two.tif is named by other scenes too" in sentence for sentence in sentences(run))


def verify_files(run: Run, name: str) -> SceneRecord:
    record = Ledger(run.store).read(name)
    assert record is not None
    return record


def test_a_store_that_cannot_be_read_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> str:
        raise StorageError("The network is down.")

    monkeypatch.setattr(type(run.store), "sha256", fail)
    with pytest.raises(StorageError, match="network"):
        verify(run)


def test_many_problems_are_counted_and_some_are_named(tmp_path: Path) -> None:
    run = Run(open_store(str(tmp_path / "out")), tmp_path / "scratch")
    for number in range(30):
        run.add_failed(f"scene {number}")
        Ledger(run.store).forget(f"scene {number}")
    summary = verify(run).summary()
    assert "and 10 more problems" in summary
    assert "Every scene has" not in summary


def test_work_is_deleted_once_the_run_is_sound(run: Run) -> None:
    for key in ("two/r0000c0000", "two/prologue"):
        run.store.write_bytes(f"{WORK_FOLDER}/{key}", b"computed")
    before = {entry.key for entry in run.store.list() if not entry.key.startswith(WORK_FOLDER)}
    run.store.delete("two.png")
    with pytest.raises(StorageError, match=r"_work is kept.*two\.png is missing"):
        delete_work(run.store, verify(run))
    assert run.store.list(WORK_FOLDER)
    run.planned.pop()
    assert delete_work(run.store, verify(run)) == 2
    assert {entry.key for entry in run.store.list()} == before - {"two.png"}

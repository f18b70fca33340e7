"""Copies of models that nothing needs any more are removed, and no others."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.models import copy_key
from pipelines.serving.models.copies import CopySweeper
from pipelines.serving.models.records import COPIES_FOLDER, ModelRecord, ModelRecords, ServedVersion
from pipelines.storage import open_store

GRACE_S = 100.0


@dataclass
class Clock:
    """Seconds that pass when they are told to."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records(tmp_path: Path) -> ModelRecords:
    return ModelRecords(open_store(str(tmp_path)))


@pytest.fixture
def sweeper(records: ModelRecords, clock: Clock) -> CopySweeper:
    return CopySweeper(records, GRACE_S, clock)


def version(records: ModelRecords, sign: str) -> ServedVersion:
    """A version whose copy is there."""
    digest = sign * 64
    for name in ("config.json", "model.safetensors"):
        records.output.write_bytes(f"{copy_key(COPIES_FOLDER, digest)}/{name}", sign.encode())
    return ServedVersion(
        name=sign,
        label=sign,
        digest=digest,
        folder="",
        bands=(),
        scales=None,
        gives_uncertainty=False,
        licence=None,
        card=None,
        announced_at="2026-11-29T04:25:00Z",
    )


def copies(records: ModelRecords) -> str:
    """Signs of the versions whose copies are whole."""
    files = [entry.key.split("/")[2][0] for entry in records.output.list(COPIES_FOLDER)]
    return "".join(sign for sign in sorted(set(files)) if files.count(sign) == 2)


def test_what_is_served_and_what_was_before_keep_their_copies(
    records: ModelRecords, sweeper: CopySweeper, clock: Clock
) -> None:
    a, b, c, d = (version(records, sign) for sign in "abcd")
    records.write(ModelRecord(name="one", source="x", version=c, previous=b))
    records.write(ModelRecord(name="not-configured-any-more", source="y", version=d))
    assert sweeper.sweep() == 0
    clock.now_s = GRACE_S
    assert sweeper.sweep() == 1
    assert copies(records) == "bcd"
    assert a.digest[0] == "a"


def test_a_copy_stays_long_enough_for_whoever_is_loading_it(
    records: ModelRecords, sweeper: CopySweeper, clock: Clock
) -> None:
    a, b = (version(records, sign) for sign in "ab")
    records.write(ModelRecord(name="one", source="x", version=a))
    sweeper.sweep()
    clock.now_s = 3 * GRACE_S
    records.write(ModelRecord(name="one", source="x", version=b))
    assert sweeper.sweep() == 0
    clock.now_s += GRACE_S - 1
    assert sweeper.sweep() == 0
    clock.now_s += GRACE_S / 10
    assert sweeper.sweep() == 1
    assert copies(records) == "b"


def test_a_copy_that_is_named_again_stays(records: ModelRecords, sweeper: CopySweeper, clock: Clock) -> None:
    a, b = (version(records, sign) for sign in "ab")
    records.write(ModelRecord(name="one", source="x", version=b))
    sweeper.sweep()
    clock.now_s = GRACE_S / 2
    records.write(ModelRecord(name="one", source="x", version=a, previous=b))
    sweeper.sweep()
    clock.now_s = 2 * GRACE_S
    assert sweeper.sweep() == 0
    assert copies(records) == "ab"


def test_nothing_is_removed_while_a_record_cannot_be_read(
    records: ModelRecords, sweeper: CopySweeper, clock: Clock
) -> None:
    version(records, "a")
    records.output.write_bytes("models/other.json", b'{"written": "by a newer service"}')
    for clock.now_s in (0.0, GRACE_S, 2 * GRACE_S):
        assert sweeper.sweep() == 0
    assert copies(records) == "a"


def test_it_is_not_looked_at_each_time(records: ModelRecords, clock: Clock) -> None:
    sweeper = CopySweeper(records, GRACE_S, clock)
    sweeper.sweep()
    version(records, "a")
    clock.now_s = GRACE_S / 10 - 1
    sweeper.sweep()
    clock.now_s = GRACE_S / 5
    sweeper.sweep()
    clock.now_s = GRACE_S
    assert sweeper.sweep() == 0, "it is counted from the look that saw it"
    clock.now_s = 2 * GRACE_S
    assert sweeper.sweep() == 1

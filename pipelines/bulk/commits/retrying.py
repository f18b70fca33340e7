"""Trying again what failed."""

from collections.abc import Collection, Mapping

from pipelines.bulk.commits.ledger import Ledger
from pipelines.bulk.records import SceneRecord
from pipelines.bulk.work.work_objects import WindowObjects
from pipelines.storage import Store


def forget_failures(
    output: Store, records: Mapping[str, SceneRecord], names: Collection[str]
) -> dict[str, SceneRecord]:
    """Forget scenes of which something failed, so that they are done anew; returns what is left of the ledger.

    A product whose windows failed gives way to the new one: its entry goes last, so that an interrupted forgetting is
    gone on with.

    Args:
        output: Of the run.
        records: Its ledger.
        names: Of the scenes that are tried again; others are left as they are.

    Raises:
        StorageError: The output refuses.
    """
    windows, ledger = WindowObjects(output), Ledger(output)
    left = {}
    for name, record in records.items():
        if name in names and has_failed(record):
            windows.forget_failed(name)
            for file in reversed(record.files):
                output.delete(file.key)
            ledger.forget(name)
        else:
            left[name] = record
    return left


def has_failed(record: SceneRecord) -> bool:
    """Whether something of a scene failed."""
    return record.state == "failed" or bool(record.failed_windows)

"""The ledger of a run: an object a scene that is finished, written once all its files are there."""

import io
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.bulk.commits.scene_keys import scene_part
from pipelines.bulk.records import FAILURES_KEY, LEDGER_FOLDER, LEDGER_TABLE, SceneRecord
from pipelines.storage import ObjectMissing, Store
from rssr.errors import StorageError

_log = logging.getLogger(__name__)

_NUM_READS = 32
_NUM_NAMED = 5
_ENDING = ".json"

_SPAN = pa.list_(pa.int64(), 2)
_FILE = pa.struct([("key", pa.string()), ("role", pa.string()), ("num_bytes", pa.int64()), ("sha256", pa.string())])
_WINDOW = pa.struct([("key", pa.string()), ("reason", pa.string()), ("rows", _SPAN), ("columns", _SPAN)])

TABLE_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("state", pa.string()),
        ("reason", pa.string()),
        ("input_uri", pa.string()),
        ("input_version", pa.string()),
        ("files", pa.list_(_FILE)),
        ("sr_size", _SPAN),
        ("num_tiles", pa.int64()),
        ("num_skipped_tiles", pa.int64()),
        ("num_splits", pa.int64()),
        ("valid_share", pa.float64()),
        ("seam_score", pa.float64()),
        ("mean_consistency", pa.float64()),
        ("failed_windows", pa.list_(_WINDOW)),
        ("compute_s", pa.float64()),
        ("write_s", pa.float64()),
        ("finished_at", pa.string()),
        ("worker", pa.string()),
    ]
)
"""Columns of the ledger as one table: the fields of `SceneRecord`."""


class Ledger:
    """What became of the scenes of an output.

    Args:
        store: The output.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def record(self, record: SceneRecord) -> SceneRecord:
        """Write down what became of a scene, unless that is written down already.

        Returns:
            What the ledger says of the scene from now on: this, or what was there before.

        Raises:
            StorageError: It cannot be written.
        """
        key = _key(record.name)
        if self._store.put_if_absent(key, record.to_json()):
            return record
        before = self.read(record.name)
        if before is not None:
            return before
        self._store.delete(key)  # damaged, and as good as absent
        if not self._store.put_if_absent(key, record.to_json()):
            return self.read(record.name) or self._refuse(key)
        return record

    def read(self, name: str) -> SceneRecord | None:
        """What became of a scene; None where that is not known, or damaged."""
        try:
            return _parse(_key(name), self._store.read_bytes(_key(name)))
        except (ObjectMissing, ValueError):
            return None

    def read_all(self) -> dict[str, SceneRecord]:
        """What became of all scenes that are finished, by name, sorted. Damaged entries are told and left out."""
        keys = [entry.key for entry in self._store.list(LEDGER_FOLDER) if entry.key.endswith(_ENDING)]
        with ThreadPoolExecutor(_NUM_READS) as pool:
            found = list(pool.map(self._read_key, keys))
        damaged = [key for key, record in zip(keys, found, strict=True) if record is None]
        if damaged:
            _log.warning(
                "%d entries of the ledger are damaged, so their scenes count as unfinished: %s%s.",
                len(damaged),
                ", ".join(self._store.describe(key) for key in damaged[:_NUM_NAMED]),
                " ..." if len(damaged) > _NUM_NAMED else "",
            )
        return {record.name: record for record in sorted(filter(None, found), key=lambda record: record.name)}

    def forget(self, name: str) -> None:
        """Let a scene be unfinished again."""
        self._store.delete(_key(name))

    def write_table(self, records: Iterable[SceneRecord]) -> None:
        """Write the ledger as one table, see `TABLE_SCHEMA`, sorted by name."""
        rows = sorted(records, key=lambda record: record.name)
        columns = [_column(rows, field.name, field.type) for field in TABLE_SCHEMA]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_arrays(columns, schema=TABLE_SCHEMA), buffer, compression="zstd")
        self._store.write_bytes(LEDGER_TABLE, buffer.getvalue())

    def write_failures(self, records: Iterable[SceneRecord]) -> int:
        """Write a line of JSON for each scene and each window that failed; returns how many."""
        rows = sorted(records, key=lambda record: record.name)
        lines = [json.dumps(line, ensure_ascii=False, sort_keys=True) for row in rows for line in _failures(row)]
        self._store.write_bytes(FAILURES_KEY, "".join(f"{line}\n" for line in lines).encode())
        return len(lines)

    def _read_key(self, key: str) -> SceneRecord | None:
        try:
            return _parse(key, self._store.read_bytes(key))
        except ValueError:
            return None
        except ObjectMissing:
            return None  # forgotten since it was listed

    def _refuse(self, key: str) -> SceneRecord:
        raise StorageError(
            f"{self._store.describe(key)} is written by others all the time, and never whole.",
            "See what else writes to the output.",
        )


def _key(name: str) -> str:
    return f"{LEDGER_FOLDER}/{scene_part(name)}{_ENDING}"


def _parse(key: str, data: bytes) -> SceneRecord:
    """An entry, which says of itself which scene it is about.

    Raises:
        ValueError: It is something else.
    """
    try:
        record = SceneRecord.from_json(data)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(str(error)) from None
    if not isinstance(record.name, str) or _key(record.name) != key:
        raise ValueError(f"{key} is about another scene")
    return record


def _failures(record: SceneRecord) -> Iterator[dict[str, Any]]:
    if record.state == "failed":
        yield {"scene": record.name, "window": None, "reason": record.reason, "input": record.input_uri}
    for window in record.failed_windows:
        yield {"scene": record.name, "window": window.key, "reason": window.reason, "input": record.input_uri}


def _column(rows: Sequence[SceneRecord], name: str, kind: pa.DataType) -> pa.Array:
    values = [getattr(row, name) for row in rows]
    if name in ("files", "failed_windows"):
        values = [[asdict(item) for item in value] for value in values]
    return pa.array(values, kind)

"""Make one shard: read its images, write them as Parquet, and note where each of them begins."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.datasets.discovery import MAX_PIXELS_IN_FLIGHT, PixelBudget
from pipelines.ingest.planning import ShardTask, SourceImage
from pipelines.ingest.prefetch import map_in_order
from pipelines.ingest.verify import CheckedImage, Rejected, check_image
from pipelines.storage import Store
from pipelines.storage.shards import INDEX_SCHEMA

SHARD_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("class_name", pa.string()),
        ("split", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("num_bytes", pa.int64()),
        ("sha256", pa.string()),
        ("phash", pa.uint64()),
        pa.field("data", pa.binary(), nullable=False),
    ]
)
FINGERPRINT_FIELDS = (("phash", pa.uint64()), ("thumbnail", pa.binary()))
PART_SCHEMA = pa.schema([*INDEX_SCHEMA, *FINGERPRINT_FIELDS])
OUTCOME = b"rssr.ingest"  # key of a part's metadata

_SHORTEST_PREFIX = 4  # Parquet puts the length of a value before it, little-endian


@dataclass(frozen=True)
class Making:
    """How shards are made.

    Attributes:
        source: Holds the images.
        target: Takes the shards.
        num_threads: Threads that read and verify.
        max_bytes_in_flight: Encoded images read ahead.
    """

    source: Store
    target: Store
    num_threads: int
    max_bytes_in_flight: int


def make_shard(task: ShardTask, making: Making, tell: Callable[[int], None] = lambda count: None) -> None:
    """Write a shard and then its part, which says that the shard is whole and what it holds.

    The same images give the same bytes, whatever the number of threads.

    Args:
        task: The images.
        making: From where to where.
        tell: Called with the number of images done.

    Raises:
        DataError: An image changed while it was read.
        StorageError: A store fails, as opposed to one image.
    """
    writer = _ShardWriter(task)
    rejected: list[Rejected] = []
    budget = PixelBudget(MAX_PIXELS_IN_FLIGHT)
    check = partial(_check, making.source, budget)
    outcomes = map_in_order(check, task.images, _size, making.num_threads, making.max_bytes_in_flight)
    for count, outcome in enumerate(outcomes, 1):
        if isinstance(outcome, Rejected):
            rejected.append(outcome)
        else:
            writer.add(outcome)
        tell(count)
    data = writer.close()
    if writer.rows:
        making.target.write_bytes(task.shard_name, data)
    making.target.write_bytes(task.part_name, _part(task, writer.rows, rejected, data))


def _check(source: Store, budget: PixelBudget, image: SourceImage) -> CheckedImage | Rejected:
    return check_image(source, image, budget)


def _size(image: SourceImage) -> int:
    return image.entry.num_bytes


def _part(task: ShardTask, rows: list[dict[str, Any]], rejected: list[Rejected], data: bytes) -> bytes:
    outcome = {
        "shard": task.shard_name if rows else None,
        "sha256": hashlib.sha256(data).hexdigest(),
        "num_bytes": len(data),
        "skipped": [
            {
                "key": item.source.entry.key,
                "reason": item.reason,
                "num_bytes": item.source.entry.num_bytes,
                "version": item.source.entry.version,
            }
            for item in rejected
        ],
    }
    schema = PART_SCHEMA.with_metadata({OUTCOME: json.dumps(outcome).encode()})
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


class _ShardWriter:
    """Rows to Parquet, a row group at a time, so that encoded images are let go as soon as they are written."""

    def __init__(self, task: ShardTask) -> None:
        self.rows: list[dict[str, Any]] = []
        self._task = task
        self._waiting: list[CheckedImage] = []
        self._waiting_bytes = 0
        self._row_group = 0
        self._buffer = io.BytesIO()
        self._writer = pq.ParquetWriter(
            self._buffer,
            SHARD_SCHEMA,
            compression="NONE",
            use_dictionary=False,
            write_statistics=["key"],
            store_schema=False,
        )

    def add(self, image: CheckedImage) -> None:
        """Take one image; a full row group is written."""
        if self._waiting and self._waiting_bytes + len(image.data) > self._task.row_group_bytes:
            self._flush()
        self._waiting.append(image)
        self._waiting_bytes += len(image.data)

    def close(self) -> bytes:
        """Write what waits and the footer; returns the file."""
        if self._waiting:
            self._flush()
        self._writer.close()
        return self._buffer.getvalue()

    def _flush(self) -> None:
        start = self._buffer.tell()
        rows = [_row(image) for image in self._waiting]
        shard_rows = [row | {"data": image.data} for row, image in zip(rows, self._waiting, strict=True)]
        table = pa.Table.from_pylist([_only(row, SHARD_SCHEMA) for row in shard_rows], schema=SHARD_SCHEMA)
        self._writer.write_table(table, row_group_size=len(rows))
        written = bytes(self._buffer.getbuffer()[start:])
        for number, (row, offset) in enumerate(zip(rows, self._offsets(written), strict=True)):
            place = {"shard": self._task.shard_name, "row_group": self._row_group, "row": number}
            self.rows.append(row | place | {"offset": start + offset})
        self._waiting, self._waiting_bytes = [], 0
        self._row_group += 1

    def _offsets(self, written: bytes) -> Iterator[int]:
        """Where each image begins in the row group that was just written.

        Plain Parquet stores a value as its length and its bytes, so it is found by looking for exactly that. The
        other columns are written before and hold nothing alike, being text and numbers.
        """
        position = 0
        for image in self._waiting:
            value = len(image.data).to_bytes(_SHORTEST_PREFIX, "little") + image.data
            found = written.find(value, position)
            if found < 0:
                raise RuntimeError(f"{image.source.entry.key} is not where Parquet keeps plain values")
            position = found + len(value)
            yield found + _SHORTEST_PREFIX


def _row(image: CheckedImage) -> dict[str, Any]:
    mark = image.fingerprint
    return {
        "key": image.source.entry.key,
        "class_name": image.source.label.class_name,
        "split": image.source.label.split,
        "width": image.width,
        "height": image.height,
        "num_bytes": len(image.data),
        "sha256": image.sha256,
        "conversions": list(image.conversions),
        "version": image.source.entry.version,
        "phash": None if mark is None else mark.phash,
        "thumbnail": None if mark is None else mark.thumbnail.tobytes(),
    }


def _only(row: dict[str, Any], schema: pa.Schema) -> dict[str, Any]:
    return {name: row[name] for name in schema.names}

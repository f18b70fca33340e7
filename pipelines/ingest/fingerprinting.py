"""Fingerprints of images that were never ingested, so that they can be compared like shards."""

import io
from collections.abc import Callable, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.catalogue import Label
from pipelines.datasets.discovery import MAX_PIXELS_IN_FLIGHT, PixelBudget
from pipelines.datasets.manifest import ImageRecord
from pipelines.ingest.duplicates import Collection, read_collection
from pipelines.ingest.planning import SourceImage
from pipelines.ingest.prefetch import map_in_order
from pipelines.ingest.publish import FINGERPRINT_SCHEMA, content_digest
from pipelines.ingest.verify import CheckedImage, check_image
from pipelines.storage import Entry, ObjectMissing, Store
from pipelines.storage.shards import ShardStore, open_images
from rssr.errors import DataError

_RULES_VERSION = 1  # raise it when the same images have other fingerprints
_NUM_THREADS = 8
_BYTES_AHEAD = 64 * 10**6

_Mark = tuple[int | None, bytes | None]
_NONE: _Mark = (None, None)


def collect_images(
    name: str,
    records: Sequence[ImageRecord],
    sources: Sequence[str],
    home: Store,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Collection:
    """The images of a manifest as `duplicates.find_between` compares them.

    Fingerprints are taken from shards where the images lie in some, else from the images, and kept below `home` for the
    next time. An image that is gone, changed or unreadable has none.

    Args:
        name: What pairs call the collection.
        records: The images.
        sources: Their data locations.
        home: Where fingerprints are kept.
        tell: Called with the number of images done and of all.

    Raises:
        StorageError: A location cannot be reached.
    """
    digest = content_digest([record.key for record in records], [record.sha256 for record in records])
    key = f"fingerprints/{digest[:24]}-{_RULES_VERSION}.parquet"
    marks = _read(home, key, len(records))
    if marks is None:
        marks = _take(records, sources, tell)
        buffer = io.BytesIO()
        pq.write_table(marks, buffer, compression="zstd")
        home.write_bytes(key, buffer.getvalue())
    columns = ("key", "class_name", "split", "sha256")
    rows = pa.table({column: pa.array([getattr(r, column) for r in records], pa.string()) for column in columns})
    return Collection(name, digest, rows, marks)


def _read(home: Store, key: str, num_images: int) -> pa.Table | None:
    """What was kept; None where that is nothing, or damaged."""
    try:
        held = pq.read_table(io.BytesIO(home.read_bytes(key)), schema=FINGERPRINT_SCHEMA)
    except (ObjectMissing, pa.ArrowException, OSError):
        return None
    return held if held.num_rows == num_images else None


def _take(records: Sequence[ImageRecord], sources: Sequence[str], tell: Callable[[int, int], None]) -> pa.Table:
    stores = [open_images(uri) for uri in sources]
    known = [_of_shards(store) if isinstance(store, ShardStore) else {} for store in stores]
    mark = partial(_mark, stores, known, PixelBudget(MAX_PIXELS_IN_FLIGHT))
    marks: list[_Mark] = []
    for found in map_in_order(mark, records, lambda record: record.num_bytes, _NUM_THREADS, _BYTES_AHEAD):
        marks.append(found)
        tell(len(marks), len(records))
    columns = [[mark[column] for mark in marks] for column in (0, 1)]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, FINGERPRINT_SCHEMA, strict=True)]
    return pa.table(arrays, schema=FINGERPRINT_SCHEMA)


def _of_shards(store: ShardStore) -> dict[str, _Mark]:
    """Fingerprints by content."""
    held = read_collection(store.folder, store.summary)
    marks = zip(*(held.fingerprints.column(name).to_pylist() for name in FINGERPRINT_SCHEMA.names), strict=True)
    return dict(zip(held.rows.column("sha256").to_pylist(), marks, strict=True))


def _mark(
    stores: Sequence[Store], known: Sequence[dict[str, _Mark]], budget: PixelBudget, record: ImageRecord
) -> _Mark:
    if record.sha256 in known[record.source]:
        return known[record.source][record.sha256]
    source = SourceImage(Entry(record.key, record.num_bytes, ""), Label(record.class_name))
    try:
        checked = check_image(stores[record.source], source, budget)
    except (DataError, ObjectMissing):  # changed or gone since the manifest was written
        return _NONE
    if not isinstance(checked, CheckedImage) or checked.sha256 != record.sha256 or checked.fingerprint is None:
        return _NONE
    return checked.fingerprint.phash, checked.fingerprint.thumbnail.tobytes()

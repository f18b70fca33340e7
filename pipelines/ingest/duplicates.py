"""Images that are there twice, in one dataset or in two: of the same bytes, or looking alike."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.ingest.config import DuplicatesConfig
from pipelines.ingest.fingerprint import THUMBNAIL_SIDE
from pipelines.ingest.near_duplicates import Fingerprints, NearPairs, near_pairs
from pipelines.ingest.publish import FINGERPRINT_SCHEMA
from pipelines.storage import ObjectMissing, Store, open_store
from pipelines.storage.shards import INDEX_SCHEMA, MARKER, read_part, read_summary
from rssr.errors import DataError
from rssr.plain_table import format_table

Kind = Literal["exact", "near"]

DUPLICATES_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("key", pa.string()),
        ("class_name", pa.string()),
        ("split", pa.string()),
        ("other_dataset", pa.string()),
        ("other_key", pa.string()),
        ("other_class_name", pa.string()),
        ("other_split", pa.string()),
        ("distance", pa.int32()),
        ("orientation", pa.int32()),
        ("correlation", pa.float64()),
    ]
)

_ORIENTATIONS = (
    "as it is",
    "mirrored left to right",
    "mirrored top to bottom",
    "turned by 180 degrees",
    "transposed",
    "turned by 90 degrees clockwise",
    "turned by 90 degrees counterclockwise",
    "transposed along the other diagonal",
)


@dataclass(frozen=True)
class Duplicate:
    """Two images that are the same.

    Attributes:
        kind: `exact` (the same bytes) or `near` (looks alike).
        key: Of the image in this dataset.
        class_name: Its class.
        split: Its official split.
        other_dataset: URI of the other one's shards; empty for this dataset itself.
        other_key: Key of the other image.
        other_class_name: Its class.
        other_split: Its official split.
        distance: Bits of 64 in which the hashes differ; None for exact ones.
        orientation: Of the first that looks like the second, see `fingerprint.oriented_hashes`.
        correlation: Of the thumbnails in that orientation, see `near_pairs`.
    """

    kind: Kind
    key: str
    class_name: str | None
    split: str | None
    other_dataset: str
    other_key: str
    other_class_name: str | None
    other_split: str | None
    distance: int | None = None
    orientation: int = 0
    correlation: float = 1.0


@dataclass(frozen=True)
class Collection:
    """A dataset as far as the search looks at it.

    Attributes:
        uri: Of its shards.
        digest: Of its content.
        rows: Index columns `key`, `class_name`, `split` and `sha256`.
        fingerprints: Columns `phash` and `thumbnail`, null where an image has none.
    """

    uri: str
    digest: str
    rows: pa.Table
    fingerprints: pa.Table

    def describe(self, number: int) -> tuple[str, str | None, str | None]:
        """Key, class and split of one image."""
        key, class_name, split = (self.rows.column(name)[number].as_py() for name in ("key", "class_name", "split"))
        return key, class_name, split

    def distinct(self) -> tuple[NDArray[np.int64], Fingerprints]:
        """First image of each content that has a fingerprint, and these."""
        first: dict[str, int] = {}
        hashes = self.fingerprints.column("phash").to_pylist()
        for number, digest in enumerate(self.rows.column("sha256").to_pylist()):
            if hashes[number] is not None:
                first.setdefault(digest, number)
        numbers = np.array(list(first.values()), np.int64)
        thumbnails = self.fingerprints.column("thumbnail").take(pa.array(numbers)).to_pylist()
        shape = (len(numbers), THUMBNAIL_SIDE, THUMBNAIL_SIDE)
        pictures = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(shape)
        return numbers, Fingerprints(np.array([hashes[number] for number in numbers], np.uint64), pictures)


def open_collection(uri: str) -> Collection:
    """The index and fingerprints of a shard folder; no image is read.

    Raises:
        DataError: There are no shards.
        StorageError: They are damaged, or cannot be reached.
    """
    folder = open_store(uri)
    if not folder.exists(MARKER):
        raise DataError(
            f"{folder.uri} holds no shards ({MARKER}), so it cannot be compared with.",
            "Give folders that jobs/ingest.py wrote as `against`, or ingest that dataset first.",
        )
    return read_collection(folder, read_summary(folder))


def read_collection(folder: Store, summary: Mapping[str, Any]) -> Collection:
    """The collection that a summary describes."""
    rows = read_part(folder, summary["index"], INDEX_SCHEMA)
    fingerprints = read_part(folder, summary["fingerprints"], FINGERPRINT_SCHEMA)
    return Collection(folder.uri, str(summary["digest"]), rows, fingerprints)


def find_duplicates(own: Collection, others: Sequence[Collection], config: DuplicatesConfig) -> list[Duplicate]:
    """Pairs within a dataset and between it and others, exact ones first, by key.

    Of several images of the same bytes the first stands for all, so that n of them give n - 1 pairs.
    """
    found = [*_exact_within(own), *_near(own, None, config)]
    for other in others:
        found += find_between(own, other, config)
    return _sorted(found)


def find_between(own: Collection, other: Collection, config: DuplicatesConfig) -> list[Duplicate]:
    """Pairs of an image of one dataset and one of another, exact ones first, by key."""
    return _sorted([*_exact_between(own, other), *_near(own, other, config)])


def write_duplicates(duplicates: Sequence[Duplicate], target: Store) -> None:
    """Write all pairs as duplicates.parquet and, for people, duplicates.csv."""
    rows = [asdict(pair) for pair in duplicates]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=DUPLICATES_SCHEMA), buffer, compression="zstd")
    target.write_bytes("duplicates.parquet", buffer.getvalue())
    text = io.StringIO()
    writer = csv.DictWriter(text, DUPLICATES_SCHEMA.names)
    writer.writeheader()
    writer.writerows(row | {"orientation": _ORIENTATIONS[row["orientation"]]} for row in rows)
    target.write_bytes("duplicates.csv", text.getvalue().encode())


def read_duplicates(target: Store) -> list[Duplicate] | None:
    """What `write_duplicates` wrote; None where there is no such file, or a damaged one."""
    try:
        table = pq.read_table(io.BytesIO(target.read_bytes("duplicates.parquet")), schema=DUPLICATES_SCHEMA)
    except (ObjectMissing, pa.ArrowException, OSError):
        return None
    return [Duplicate(**row) for row in table.to_pylist()]


def duplicates_table(duplicates: Sequence[Duplicate], max_shown: int) -> str:
    """The first pairs as plain text."""
    rows = [["kind", "image", "the same as", "of", "bits apart", "correlation", "orientation"]]
    for pair in duplicates[:max_shown]:
        figures = ["", "", ""]
        if pair.distance is not None:
            figures = [str(pair.distance), f"{pair.correlation:.3f}", _ORIENTATIONS[pair.orientation]]
        rows.append([pair.kind, pair.key, pair.other_key, pair.other_dataset or "this dataset", *figures])
    more = len(duplicates) - max_shown
    return format_table(rows, right=(4, 5)) + (f"\n... and {more} more" if more > 0 else "")


def _sorted(pairs: Iterable[Duplicate]) -> list[Duplicate]:
    return sorted(pairs, key=lambda pair: (pair.kind, pair.other_dataset, pair.key, pair.other_key))


def _exact_within(own: Collection) -> list[Duplicate]:
    first: dict[str, int] = {}
    found = []
    for number, digest in enumerate(own.rows.column("sha256").to_pylist()):
        original = first.setdefault(digest, number)
        if original != number:
            found.append(Duplicate("exact", *own.describe(number), "", *own.describe(original)))
    return found


def _exact_between(own: Collection, other: Collection) -> list[Duplicate]:
    first: dict[str, int] = {}
    for number, digest in enumerate(other.rows.column("sha256").to_pylist()):
        first.setdefault(digest, number)
    return [
        Duplicate("exact", *own.describe(number), other.uri, *other.describe(first[digest]))
        for number, digest in enumerate(own.rows.column("sha256").to_pylist())
        if digest in first
    ]


def _near(own: Collection, other: Collection | None, config: DuplicatesConfig) -> list[Duplicate]:
    numbers, marks = own.distinct()
    if other is None:
        pairs = near_pairs(marks, None, config.max_distance, config.min_correlation)
        return _as_duplicates(pairs, own, numbers, own, numbers)
    other_numbers, other_marks = other.distinct()
    pairs = near_pairs(marks, other_marks, config.max_distance, config.min_correlation)
    return _as_duplicates(pairs, own, numbers, other, other_numbers)


def _as_duplicates(
    pairs: NearPairs, own: Collection, numbers: NDArray[np.int64], other: Collection, other_numbers: NDArray[np.int64]
) -> list[Duplicate]:
    digests, other_digests = own.rows.column("sha256"), other.rows.column("sha256")
    uri = "" if other is own else other.uri
    found = []
    for one, two, distance, orientation, correlation in zip(*(column.tolist() for column in pairs), strict=True):
        number, other_number = int(numbers[one]), int(other_numbers[two])
        if digests[number] == other_digests[other_number]:
            continue  # told as exact
        places = (*own.describe(number), uri, *other.describe(other_number))
        found.append(Duplicate("near", *places, distance, orientation, round(correlation, 4)))
    return found

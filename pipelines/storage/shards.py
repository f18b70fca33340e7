"""Images packed into Parquet shards, read as if they lay there one by one.

A shard folder holds `shards.json` (written last: without it there are no shards), an index with one row an image, and
Parquet files in which the encoded bytes stand as they are, uncompressed. The index knows at which byte of which shard
an image begins, so one image is one ranged read of exactly its size, and what it measures is known without reading it.
"""

import hashlib
import io
import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage.door import open_store
from pipelines.storage.read_only import ReadOnlyStore
from pipelines.storage.settings import StorageSettings
from pipelines.storage.store import Entry, ObjectMissing, Store
from rssr.errors import StorageError

MARKER = "shards.json"
FORMAT_VERSION = 1
INDEX_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("class_name", pa.string()),
        ("split", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("num_bytes", pa.int64()),
        ("sha256", pa.string()),
        ("conversions", pa.list_(pa.string())),
        ("shard", pa.string()),
        ("row_group", pa.int32()),
        ("row", pa.int32()),
        ("offset", pa.int64()),
        ("version", pa.string()),
    ]
)

_AGAIN = "Run jobs/ingest.py again with fresh=true."


@dataclass(frozen=True, slots=True)
class ShardImage:
    """What the index says of one image.

    Attributes:
        key: Its key in the source that was ingested.
        class_name: Its class, or None.
        split: `train`, `val` or `test` where the dataset says so, else None.
        width: Pixels, after decoding.
        height: Pixels.
        num_bytes: Encoded size.
        sha256: Digest of the encoded bytes.
        conversions: What decoding changes, see `rssr.images.DecodedImage`.
        shard: File that holds it.
        row_group: Row group of that file.
        row: Row within the row group.
        offset: First of its bytes in the file.
        version: What the source's listing called this state of it.
    """

    key: str
    class_name: str | None
    split: Literal["train", "val", "test"] | None
    width: int
    height: int
    num_bytes: int
    sha256: str
    conversions: Sequence[str]
    shard: str
    row_group: int
    row: int
    offset: int
    version: str


class ShardIndex:
    """Rows of images sorted by key, as Arrow holds them: about 300 bytes an image, whatever asks for them.

    Args:
        table: Of `INDEX_SCHEMA`.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table.combine_chunks()
        self._keys = self._table.column("key")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def find(self, key: str) -> ShardImage | None:
        """The image of a key, found by bisection; None where there is none."""
        number = bisect_left(range(len(self)), key, key=lambda row: self._keys[row].as_py())
        if number == len(self) or self._keys[number].as_py() != key:
            return None
        return next(iter(_images(self._table.slice(number, 1))))

    def images(self) -> list[ShardImage]:
        """All images, by key."""
        return list(_images(self._table))


def open_images(uri: str, settings: StorageSettings | None = None) -> Store:
    """The images at a location: shards where it holds `shards.json`, else whatever `open_store` finds there.

    Args:
        uri: A folder, archive or shard folder.
        settings: For S3; read from the environment by default.

    Raises:
        StorageError: The URI is malformed, it cannot be reached, or `shards.json` is damaged.
    """
    store = open_store(uri, settings)
    shards = ShardStore(store)
    try:
        _ = shards.summary
    except ObjectMissing:
        return store
    return shards


@dataclass(frozen=True)
class _Tables:
    """`shards.json`, and the index that it names, which is read when it is first needed."""

    folder: Store
    summary: dict[str, Any]

    @cached_property
    def index(self) -> ShardIndex:
        return read_index(self.folder, self.summary)


class ShardStore(ReadOnlyStore[_Tables]):
    """The images of a shard folder under their own keys; read-only. What is read is checked against its digest.

    Args:
        folder: Where the shards lie.
        prefix: Folder within the keys, see `child`.
    """

    def __init__(self, folder: Store, prefix: str = "") -> None:
        super().__init__()
        self._folder = folder
        self._prefix = prefix

    @property
    def uri(self) -> str:
        """The shard folder, and the folder within the keys."""
        return self._folder.describe(self._prefix.rstrip("/"))

    @property
    def folder(self) -> Store:
        """The store that holds the shards themselves."""
        return self._folder

    @property
    def summary(self) -> dict[str, Any]:
        """The content of `shards.json`.

        Raises:
            StorageError: It is missing, damaged or of another version.
        """
        return self._contents.summary

    def child(self, key: str) -> "ShardStore":
        """The images below a folder of their keys."""
        return ShardStore(self._folder, f"{self._prefix}{key.strip('/')}/")

    def images(self) -> list[ShardImage]:
        """All images, sorted by key; no image is read for it."""
        images = self._index.images()
        return [image for image in images if image.key.startswith(self._prefix)] if self._prefix else images

    def image(self, key: str) -> ShardImage:
        """What the index says of one image.

        Raises:
            ObjectMissing: There is no such image.
        """
        found = self._index.find(self._prefix + key)
        if found is None:
            raise ObjectMissing(f"There is no image {self._prefix}{key} in {self.uri}.", "Check the key.")
        return found

    def list(self, prefix: str = "") -> list[Entry]:
        """Keys, sizes and, as versions, digests."""
        below = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        start = len(self._prefix)
        return [
            Entry(image.key[start:], image.num_bytes, image.sha256)
            for image in self.images()
            if image.key.startswith(self._prefix + below)
        ]

    def read_bytes(self, key: str) -> bytes:
        """One ranged read, checked against the digest.

        Raises:
            ObjectMissing: There is no such image.
            StorageError: The shard is damaged or was replaced since the index was read.
        """
        image = self.image(key)
        try:
            data = self._folder.read_range(image.shard, image.offset, image.num_bytes)
        except ObjectMissing:
            raise StorageError(f"The shard of {self.describe(key)} is gone.", _AGAIN) from None
        if hashlib.sha256(data).hexdigest() != image.sha256:
            raise StorageError(f"{self.describe(key)} is not what the index says: the shard is damaged.", _AGAIN)
        return data

    def read_range(self, key: str, start: int, num_bytes: int) -> bytes:
        """A part of one image; unlike `read_bytes` not checked."""
        image = self.image(key)
        first = min(start, image.num_bytes)
        return self._folder.read_range(image.shard, image.offset + first, min(num_bytes, image.num_bytes - first))

    def exists(self, key: str) -> bool:
        """Whether the index has it."""
        return self._index.find(self._prefix + key) is not None

    def has_folder(self) -> bool:
        """Always: there is an index."""
        return True

    def describe(self, key: str) -> str:
        """The image, and the shard that holds it."""
        full = self._prefix + key
        image = self._index.find(full) if key else None
        if image is None:
            return f"{self._folder.uri}/{full}".rstrip("/")
        return f"{full} in {self._folder.describe(image.shard)}"

    def _refuse(self) -> NoReturn:
        raise StorageError(f"The shards {self.uri} are read-only.", "Change the source, and run jobs/ingest.py again.")

    @property
    def _index(self) -> ShardIndex:
        with self._lock:
            return self._contents.index

    def _look(self) -> _Tables:
        return _Tables(self._folder, read_summary(self._folder))


def read_summary(folder: Store) -> dict[str, Any]:
    """`shards.json` of a shard folder.

    Raises:
        ObjectMissing: There is none.
        StorageError: It is damaged or of another version.
    """
    address = folder.describe(MARKER)
    try:
        summary = json.loads(folder.read_bytes(MARKER))
        version = summary["format_version"]
    except (ValueError, TypeError, KeyError):
        raise StorageError(f"{address} is damaged.", _AGAIN) from None
    if version != FORMAT_VERSION:
        raise StorageError(f"{address} has format {version}; this version reads {FORMAT_VERSION}.", _AGAIN)
    return dict(summary)


def read_index(folder: Store, summary: Mapping[str, Any]) -> ShardIndex:
    """The index that a summary names.

    Raises:
        StorageError: It is missing or damaged.
    """
    return ShardIndex(read_part(folder, summary["index"], INDEX_SCHEMA))


def _images(table: pa.Table) -> Iterator[ShardImage]:
    rows = zip(*(table.column(name).to_pylist() for name in INDEX_SCHEMA.names), strict=True)
    return (ShardImage(*row) for row in rows)


def read_part(folder: Store, part: dict[str, str], schema: pa.Schema) -> pa.Table:
    """A Parquet file that `shards.json` names with its digest.

    Raises:
        StorageError: It is missing or damaged.
    """
    address = folder.describe(part["name"])
    try:
        data = folder.read_bytes(part["name"])
    except ObjectMissing:
        raise StorageError(f"{address} is gone.", _AGAIN) from None
    if hashlib.sha256(data).hexdigest() != part["sha256"]:
        raise StorageError(f"{address} is damaged: its digest differs from that in {MARKER}.", _AGAIN)
    try:
        return pq.read_table(io.BytesIO(data), schema=schema)
    except (pa.ArrowException, OSError):
        raise StorageError(f"{address} is damaged.", _AGAIN) from None

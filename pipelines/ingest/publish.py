"""From finished shards to an index and, last of all, `shards.json`."""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.catalogue import completeness
from pipelines.ingest.config import IngestConfig
from pipelines.ingest.planning import IngestPlan, ShardTask
from pipelines.ingest.shard_writer import FINGERPRINT_FIELDS, OUTCOME, PART_SCHEMA
from pipelines.ingest.state import is_own
from pipelines.storage import ObjectMissing, Store
from pipelines.storage.shards import FORMAT_VERSION, INDEX_SCHEMA, MARKER
from rssr.errors import DataError

FINGERPRINT_SCHEMA = pa.schema(FINGERPRINT_FIELDS)

_NUM_READS = 8
_NUM_NAMED = 5
_NO_CLASS = "(none)"


@dataclass(frozen=True)
class Part:
    """A finished shard.

    Attributes:
        rows: Its images, see `shard_writer.PART_SCHEMA`.
        outcome: File, digest, size and skipped images.
    """

    rows: pa.Table
    outcome: Mapping[str, Any]


def unfinished(tasks: Sequence[ShardTask], target: Store) -> list[ShardTask]:
    """Shards that are still to be made: those without a part, or whose file is gone or of another size."""
    present = {entry.key: entry.num_bytes for entry in target.list()}
    candidates = [task for task in tasks if task.part_name in present]
    parts = dict(zip((task.part_name for task in candidates), read_parts(candidates, target), strict=True))
    return [task for task in tasks if not _is_whole(task, parts.get(task.part_name), present)]


def read_parts(tasks: Sequence[ShardTask], target: Store) -> list[Part | None]:
    """What was noted of finished shards, in order; None where that is damaged."""
    with ThreadPoolExecutor(_NUM_READS) as pool:
        return list(pool.map(lambda task: _read_part(target, task.part_name), tasks))


def check_skipped(parts: Sequence[Part], plan: IngestPlan, max_corrupt_fraction: float) -> None:
    """Refuse a dataset of which too much cannot be read.

    Raises:
        DataError: More than the share allowed, or everything.
    """
    skipped = [item for part in parts for item in part.outcome["skipped"]]
    total = len(plan.images)
    reasons = " ".join(item["reason"] for item in skipped[:_NUM_NAMED])
    if len(skipped) > max_corrupt_fraction * total:
        raise DataError(
            f"{len(skipped)} of {total} images ({len(skipped) / total:.1%}) cannot be used, more than "
            f"max_corrupt_fraction={max_corrupt_fraction:g} allows: {reasons}",
            "Mend or remove them, or raise max_corrupt_fraction to skip them.",
        )
    if len(skipped) == total:
        raise DataError(f"None of the {total} images can be used: {reasons}", "Give other images as input.uri.")


def write_index(plan: IngestPlan, parts: Sequence[Part], config: IngestConfig, target: Store) -> dict[str, Any]:
    """Write the index and what goes with it; returns what `shards.json` will say."""
    rows = pa.concat_tables([part.rows for part in parts]).replace_schema_metadata(None)
    skipped = [item for part in parts for item in part.outcome["skipped"]]
    unusual = f"is not where {plan.layout.title} has its images"
    skipped += [{"key": key, "reason": f"{key} {unusual}."} for key in plan.misplaced]
    target.write_bytes("skipped.csv", _skipped_csv(skipped))
    labels = [image.label for image in plan.images]
    return {
        "format_version": FORMAT_VERSION,
        "digest": content_digest(rows.column("key").to_pylist(), rows.column("sha256").to_pylist()),
        "inputs_digest": plan.inputs_digest,
        "source": plan.source.uri,
        "layout": plan.layout.name,
        "licence": config.input.licence,
        "citation": config.input.citation,
        "num_images": rows.num_rows,
        "num_bytes": sum(rows.column("num_bytes").to_pylist()),
        "classes": _counts(rows),
        "completeness": list(completeness(plan.layout, labels)),
        "other_files": plan.other_files,
        "skipped": skipped,
        "shards": [_shard_facts(part) for part in parts if part.outcome["shard"]],
        "index": _write_table(target, "index", rows.select(INDEX_SCHEMA.names)),
        "fingerprints": _write_table(target, "fingerprints", rows.select(FINGERPRINT_SCHEMA.names)),
    }


def publish(summary: Mapping[str, Any], target: Store) -> None:
    """Write `shards.json`: from here on the shards are there."""
    target.write_bytes(MARKER, json.dumps(summary, indent=1).encode())


def clean_up(plan: IngestPlan, summary: Mapping[str, Any], target: Store) -> None:
    """Remove what earlier ingests to the same place left and this one does not use."""
    used = {shard["name"] for shard in summary["shards"]} | {task.part_name for task in plan.tasks}
    used |= {summary[name]["name"] for name in ("index", "fingerprints")}
    for entry in target.list():
        is_data = entry.key.endswith(".parquet") and is_own(entry.key) and not entry.key.startswith("duplicates")
        if is_data and entry.key not in used:
            target.delete(entry.key)


def content_digest(keys: Iterable[str], digests: Iterable[str]) -> str:
    """SHA-256 over key and digest of every image, in order: names the data, wherever it lies."""
    digest = hashlib.sha256()
    for key, sha256 in zip(keys, digests, strict=True):
        digest.update(f"{key}\0{sha256}\n".encode())
    return digest.hexdigest()


def _read_part(target: Store, name: str) -> Part | None:
    try:
        file = pq.ParquetFile(io.BytesIO(target.read_bytes(name)))
        outcome = json.loads(file.schema_arrow.metadata[OUTCOME])
        table = file.read().select(PART_SCHEMA.names)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, ObjectMissing):
        return None
    return Part(table, outcome)


def _is_whole(task: ShardTask, part: Part | None, present: Mapping[str, int]) -> bool:
    if part is None:
        return False
    shard = part.outcome["shard"]
    return shard is None or present.get(task.shard_name) == part.outcome["num_bytes"]


def _write_table(target: Store, kind: str, table: pa.Table) -> dict[str, str]:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    name = f"{kind}-{digest[:16]}.parquet"
    target.write_bytes(name, buffer.getvalue())
    return {"name": name, "sha256": digest}


def _shard_facts(part: Part) -> dict[str, Any]:
    outcome = part.outcome
    return {
        "name": outcome["shard"],
        "sha256": outcome["sha256"],
        "num_bytes": outcome["num_bytes"],
        "num_rows": part.rows.num_rows,
    }


def _counts(rows: pa.Table) -> dict[str, dict[str, int]]:
    """Images of each class and split; those without an official split are `unassigned`."""
    pairs = zip(rows.column("class_name").to_pylist(), rows.column("split").to_pylist(), strict=True)
    counts: dict[str, dict[str, int]] = {}
    for (class_name, split), number in sorted(Counter((c or _NO_CLASS, s or "unassigned") for c, s in pairs).items()):
        counts.setdefault(class_name, {})[split] = number
    return counts


def _skipped_csv(skipped: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["key", "reason"])
    writer.writerows([item["key"], item["reason"]] for item in skipped)
    return text.getvalue().encode(errors="backslashreplace")

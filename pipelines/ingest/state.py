"""What lies at the destination already: nothing, an unfinished ingest, these shards, or others."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.ingest.planning import IngestPlan
from pipelines.storage import ObjectMissing, Store
from pipelines.storage.shards import MARKER, read_index, read_summary
from rssr.errors import DataError

PLAN = "parts/plan.json"
GALLERY = "gallery.html"
DUPLICATE_FILES = ("duplicates.parquet", "duplicates.csv")

_NUM_NAMED = 3


@dataclass(frozen=True)
class Changes:
    """How a source differs from what was ingested of it.

    Attributes:
        added: Keys that are new.
        removed: Keys that are gone.
        changed: Keys of other content.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __str__(self) -> str:
        named = (("added", self.added), ("removed", self.removed), ("changed", self.changed))
        parts = [f"{len(keys)} {word} ({_some(keys)})" for word, keys in named if keys]
        return ", ".join(parts) or "the settings of the shards differ"


def find_finished(plan: IngestPlan, target: Store, update: bool) -> dict[str, Any] | None:
    """The `shards.json` of the same ingest, all of whose files are there; None where there is something to do.

    Args:
        plan: What is asked for.
        target: The destination.
        update: Whether a changed source is taken over.

    Raises:
        DataError: The destination lies in the source, holds another dataset, or this one from before it changed.
        StorageError: It cannot be reached, or is damaged.
    """
    _check_apart(plan.source, target)
    try:
        summary = read_summary(target)
    except ObjectMissing:
        _check_unfinished(plan, target)
        return None
    if summary["inputs_digest"] == plan.inputs_digest:
        return summary if _is_intact(summary, target) else None
    if summary["source"] != plan.source.uri:
        raise _another(target, summary["source"], "shards")
    changes = find_changes(plan, target, summary)
    if not update:
        raise DataError(
            f"{plan.source.uri} is not what was ingested to {target.uri}: {changes}.",
            "Take the changes over with update=true, or ingest to another output.uri.",
        )
    return None


def find_changes(plan: IngestPlan, target: Store, summary: Mapping[str, Any]) -> Changes:
    """Compare the source with the shards that were made of it."""
    before = {image.key: (image.num_bytes, image.version) for image in read_index(target, summary).images()}
    before |= {item["key"]: (item["num_bytes"], item["version"]) for item in summary["skipped"] if "version" in item}
    listed = plan.listing
    return Changes(
        tuple(sorted(listed.keys() - before.keys())),
        tuple(sorted(before.keys() - listed.keys())),
        tuple(sorted(key for key in listed.keys() & before.keys() if listed[key] != before[key])),
    )


def announce(plan: IngestPlan, target: Store) -> None:
    """Write down at the destination what is going to be ingested; also shows at once whether it can be written to.

    Raises:
        StorageError: It cannot.
    """
    text = json.dumps({"source": plan.source.uri, "inputs_digest": plan.inputs_digest})
    target.write_bytes(PLAN, text.encode())


def forget(target: Store) -> None:
    """Remove an ingest, its marker first."""
    target.delete(MARKER)
    target.delete_prefix("parts")
    for entry in target.list():
        if is_own(entry.key):
            target.delete(entry.key)


def is_own(key: str) -> bool:
    """Whether a key at the destination is a file that an ingest writes, other than `shards.json`."""
    is_data = key.startswith(("shard-", "index-", "fingerprints-")) and key.endswith(".parquet") and "/" not in key
    return is_data or key.startswith("parts/") or key in ("skipped.csv", GALLERY, *DUPLICATE_FILES)


def _is_intact(summary: Mapping[str, Any], target: Store) -> bool:
    present = {entry.key: entry.num_bytes for entry in target.list()}
    shards = all(present.get(shard["name"]) == shard["num_bytes"] for shard in summary["shards"])
    return shards and all(summary[name]["name"] in present for name in ("index", "fingerprints"))


def _check_apart(source: Store, target: Store) -> None:
    inside = f"{target.uri}/".startswith(f"{source.uri}/")
    if inside:
        raise DataError(
            f"The shards would lie in the source itself: output.uri={target.uri} is below {source.uri}.",
            "Choose an output.uri beside it.",
        )


def _check_unfinished(plan: IngestPlan, target: Store) -> None:
    try:
        announced = json.loads(target.read_bytes(PLAN))["source"]
    except (ObjectMissing, ValueError, TypeError, KeyError):
        return
    if announced != plan.source.uri:
        raise _another(target, announced, "an unfinished ingest")


def _another(target: Store, source: str, what: str) -> DataError:
    return DataError(
        f"{target.uri} holds {what} of another dataset, {source}.",
        "Choose another output.uri, or remove what is there with fresh=true.",
    )


def _some(keys: tuple[str, ...]) -> str:
    more = f" and {len(keys) - _NUM_NAMED} more" if len(keys) > _NUM_NAMED else ""
    return ", ".join(keys[:_NUM_NAMED]) + more

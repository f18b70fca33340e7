"""Planned scenes as Parquet in the output: a file for each listing that brought some."""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.bulk.records import PLAN_FOLDER, InputScene, PlannedScene
from pipelines.storage import Store
from rssr.errors import DataError

_FILE = re.compile(rf"{PLAN_FOLDER}/(\d+)\.parquet")
_SIZE = pa.list_(pa.int64())
_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("location", pa.string()),
        ("key", pa.string()),
        ("kind", pa.string()),
        ("num_bytes", pa.int64()),
        ("version", pa.string()),
        ("refusal", pa.string()),
        ("lr_size", _SIZE),
        ("sr_size", _SIZE),
        ("dtype", pa.string()),
        ("band_names", pa.list_(pa.string())),
        ("crs", pa.string()),
        ("bounds", pa.list_(pa.float64())),
        ("gsd_m", pa.float64()),
        ("tile_size", pa.int64()),
        ("halo", pa.int64()),
        ("num_tiles", pa.int64()),
        ("windows", pa.list_(pa.string())),
    ],
    metadata={"format_version": "1"},
)
_OF_INPUT = ("name", "location", "key", "kind", "num_bytes", "version")
_TUPLES = ("lr_size", "sr_size", "band_names", "bounds", "windows")


def write_plan(store: Store, number: int, scenes: Sequence[PlannedScene]) -> bool:
    """Store scenes as one file of the plan, whole or not at all.

    Args:
        store: The output.
        number: Of the file, from 0.
        scenes: In order.

    Returns:
        Whether it was written; False where there is a file of this number, which is left alone.

    Raises:
        StorageError: The store refuses.
    """
    table = pa.Table.from_pylist([_row(scene) for scene in scenes], schema=_SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return store.put_if_absent(plan_key(number), buffer.getvalue())


def read_plan(store: Store) -> list[PlannedScene]:
    """All planned scenes, in the order in which they were found; of one that was planned again, the last.

    Raises:
        DataError: A file of the plan is damaged.
        StorageError: The store fails.
    """
    planned: dict[str, PlannedScene] = {}
    for number in plan_numbers(store):
        planned |= {scene.name: scene for scene in _read(store, plan_key(number))}
    return list(planned.values())


def plan_numbers(store: Store) -> list[int]:
    """Numbers of the plan's files, ascending."""
    matches = (_FILE.fullmatch(entry.key) for entry in store.list(PLAN_FOLDER))
    return sorted(int(match[1]) for match in matches if match is not None)


def plan_key(number: int) -> str:
    """Key of a file of the plan."""
    return f"{PLAN_FOLDER}/{number:04d}.parquet"


def _read(store: Store, key: str) -> Iterable[PlannedScene]:
    try:
        table = pq.read_table(io.BytesIO(store.read_bytes(key)))
        if table.schema.metadata != _SCHEMA.metadata:
            raise ValueError("another version")
        return [_scene(row) for row in table.cast(_SCHEMA).to_pylist()]
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError):
        raise DataError(
            f"The plan {store.describe(key)} is damaged, or of another version.",
            "Choose another output, or forget the run in this one with fresh=true.",
        ) from None


def _row(planned: PlannedScene) -> dict[str, Any]:
    own = {name: value for name, value in vars(planned).items() if name != "scene"}
    return {**vars(planned.scene), **own}


def _scene(row: Mapping[str, Any]) -> PlannedScene:
    scene = InputScene(**{name: row[name] for name in _OF_INPUT})
    own = {name: value for name, value in row.items() if name not in _OF_INPUT}
    tuples = {name: None if own[name] is None else tuple(own[name]) for name in _TUPLES}
    return PlannedScene(scene=scene, **{**own, **tuples})

"""Tells whether what the demonstration has made is whole: python cluster/local/demo.py.

Each function answers with what is amiss, or nothing.
"""

import json
from pathlib import Path

import pyarrow.parquet as pq


def ingest_is_complete(output: Path, num_images: int) -> str:
    """All images are in the shards, each once."""
    told = json.loads((output / "shards.json").read_text())
    keys = [
        key
        for shard in sorted(output.glob("shard-*.parquet"))
        for key in pq.read_table(shard, columns=["key"])["key"].to_pylist()
    ]
    if told["num_images"] != num_images or sorted(set(keys)) != sorted(keys) or len(keys) != num_images:
        return f"{len(keys)} images are in the shards, {told['num_images']} are told, of {num_images}"
    return ""


def training_is_complete(output: Path, tracking_uri: str, model: str) -> str:
    """All phases are done, the model is champion, and MLflow has one run with all its phases, finished."""
    from pipelines.tracking.connection import connect

    phases = {json.loads(path.read_text())["phase"] for path in output.glob("phases/*/done.json")}
    wanted = {"base", "uncertainty", "teacher", "student", "deviation"}
    if phases != wanted:
        return f"phases are done: {sorted(phases)}"
    client = connect(tracking_uri)
    if client.get_model_version_by_alias(model, "champion") is None:
        return f"{model} has no champion"
    runs = [run for experiment in client.search_experiments() for run in client.search_runs([experiment.experiment_id])]
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    states = {run.info.status for run in runs}
    if len(parents) != 1 or states != {"FINISHED"}:
        return f"MLflow has {len(parents)} runs, and runs are {sorted(states)}"
    return ""


def evaluation_is_complete(output: Path, num_rows: int) -> str:
    """The table has a row for each image and method."""
    tables = sorted(output.rglob("rows.parquet"))
    found = [pq.read_metadata(path).num_rows for path in tables]
    return "" if found == [num_rows] else f"tables have {found} rows instead of {num_rows}"


def products_are_complete(output: Path, num_scenes: int) -> str:
    """Each scene has one product."""
    states = [
        state for path in output.glob("_run/ledger.parquet") for state in pq.read_table(path)["state"].to_pylist()
    ]
    return "" if states == ["done"] * num_scenes else f"the ledger tells {states} of {num_scenes} scenes"

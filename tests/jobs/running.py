"""Running the smallest job as a user does, in a process of its own, or in less time in that of the tests."""

import contextlib
import functools
import importlib
import io
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import torch

from pipelines.tracking.connection import connect

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "data" / "tiny_slimdiffsr.yaml"
TIMEOUT_S = 400  # a busy machine
_LEFT_OUT = ("AWS_", "MLFLOW_", "RAY_ADDRESS", "RAY_AUTH", "RSSR_", "XDG_STATE_HOME")


@dataclass(frozen=True)
class Finished:
    """A job that has ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Run:
    """A finished run and where it lies."""

    folder: Path
    result: Finished


def job_command(*arguments: str, preset: Path = TINY, job: str = "slimdiffsr") -> list[str]:
    """The command line of a job."""
    return [sys.executable, str(ROOT / "jobs" / f"{job}.py"), str(preset), *arguments]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """One thread, no hub, and nothing left over from other tests' servers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **(extra or {})}


def run_job(
    *arguments: str,
    preset: Path = TINY,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    job: str = "slimdiffsr",
) -> Finished:
    """Run a job to its end."""
    command = job_command(*arguments, preset=preset, job=job)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment(env), cwd=cwd, check=False
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def run_job_here(
    *arguments: str,
    preset: Path = TINY,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    job: str = "slimdiffsr",
) -> Finished:
    """Run a job to its end in this process, without Ray: a new one would import for longer than the job takes."""
    out, err = io.StringIO(), io.StringIO()
    job_module = importlib.import_module(f"jobs.{job}")
    with (
        patch.object(sys, "argv", job_command(*arguments, preset=preset, job=job)[1:]),
        patch.dict(os.environ, environment(env), clear=True),
        contextlib.chdir(cwd),
        settings_kept(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = job_module.main()
    return Finished(int(status), out.getvalue(), err.getvalue())


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """What a job sets for its whole process is afterwards as before: log handlers, threads, deterministic kernels."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    num_threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        torch.set_num_threads(num_threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)


def share_phases(run: Run, folder: Path) -> Path:
    """Give another output the images and phases of a finished run; returns it."""
    for part in ("phases", "manifests", "sample-data"):
        shutil.copytree(run.folder / part, folder / part)
    return with_store(folder)


def with_store(folder: Path) -> Path:
    """Give an output an MLflow store without runs, which takes a job seconds to make; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mlflow.db").write_bytes(_empty_store())
    return folder


@functools.cache
def _empty_store() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "mlflow.db"
        connect(f"sqlite:///{path}")
        return path.read_bytes()


def phase_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every output file of every finished phase, by `phase/file`."""
    digests = {}
    for done in sorted(folder.glob("phases/*/done.json")):
        record = json.loads(done.read_text())
        digests |= {f"{record['phase']}/{name}": digest for name, digest in record["files"].items()}
    return digests


def mlflow_runs(database: Path) -> list[tuple[str, str]]:
    """Name and status of every MLflow run, sorted."""
    with sqlite3.connect(database) as connection:
        return sorted(connection.execute("SELECT name, status FROM runs").fetchall())


def mlflow_metrics(database: Path) -> set[str]:
    """Names of the metrics of all MLflow runs."""
    with sqlite3.connect(database) as connection:
        return {name for (name,) in connection.execute("SELECT DISTINCT key FROM latest_metrics")}


def paragraph(result: Finished) -> str:
    """The error of a job that refused its input; fails unless it is one paragraph without a traceback."""
    assert result.status == 2, result.err
    assert "Traceback" not in result.err
    *_, message = result.err.partition("Error: ")
    assert len(message.strip().splitlines()) == 1, result.err
    return message

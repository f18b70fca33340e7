"""Running the smallest job as a user does: in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "data" / "tiny_slimdiffsr.yaml"


@dataclass(frozen=True)
class Finished:
    """A job that has ended."""

    status: int
    out: str
    err: str


Runner = Callable[..., Finished]


def job_command(*arguments: str) -> list[str]:
    """The command line of the smallest SlimDiffSR job."""
    return [sys.executable, str(ROOT / "jobs" / "slimdiffsr.py"), str(TINY), *arguments]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """One thread, no hub, and nothing left over from other tests' servers."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_", "RAY_ADDRESS"))
    }
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **(extra or {})}


def run_job(*arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 240) -> Finished:
    """Run the smallest job to its end."""
    done = subprocess.run(
        job_command(*arguments), capture_output=True, text=True, timeout=timeout_s, env=environment(env), cwd=ROOT
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Run:
    """A finished run and where it lies."""

    folder: Path
    result: Finished

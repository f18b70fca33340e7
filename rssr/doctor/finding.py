"""What a check is asked, and what it finds."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rssr.errors import ExitCode


class State(StrEnum):
    """How it stands with one thing."""

    OK = "ok"
    SKIPPED = "skipped"  # not asked for or not here, and nothing needs it by itself
    WARNING = "warning"  # works, but slowly, not for everything, or not for long
    FAILED = "failed"  # something will fail


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's.

    Attributes:
        name: What was looked at, e.g. `gdal`; the same in every version.
        state: How it stands.
        found: What was found, in one line.
        remedy: What to do; empty where nothing needs to be done.
        status: What the command ends with where this failed.
    """

    name: str
    state: State
    found: str
    remedy: str = ""
    status: ExitCode = ExitCode.BAD_INPUT


@dataclass(frozen=True)
class DoctorOptions:
    """What the checks shall look at; None where nothing was said, then the environment says it.

    Attributes:
        address: Ray cluster, as `ray.address` of the jobs.
        output_uri: Where jobs shall write, as `output.uri`.
        tracking_uri: MLflow store, as `mlflow.tracking_uri`.
        base_weights: Directory of Stable Diffusion, as `base_weights.stable_diffusion`.
        least_free_bytes: Free space below which a disk is warned of.
    """

    address: str | None = None
    output_uri: str | None = None
    tracking_uri: str | None = None
    base_weights: Path | None = None
    least_free_bytes: int = 10 * 2**30


def ok(name: str, found: str) -> Finding:
    """All is well."""
    return Finding(name, State.OK, found)


def skipped(name: str, found: str, remedy: str = "") -> Finding:
    """Nothing to look at; `remedy` says how to have it looked at, or how to get it."""
    return Finding(name, State.SKIPPED, found, remedy)


def warning(name: str, found: str, remedy: str) -> Finding:
    """It works, with a drawback."""
    return Finding(name, State.WARNING, found, remedy)


def failed(name: str, found: str, remedy: str, status: ExitCode = ExitCode.BAD_INPUT) -> Finding:
    """Something will fail."""
    return Finding(name, State.FAILED, found, remedy, status)


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """0 where nothing failed; else 2, or 1 where one of the failures is no fault of this machine's."""
    codes = {finding.status for finding in findings if finding.state is State.FAILED}
    return min(codes, default=ExitCode.DONE)

"""Which code made a run."""

import functools
import importlib.metadata
import os
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_GIT_TIMEOUT_S = 10.0


@functools.cache
def code_version_tags() -> dict[str, str]:
    """Tags with the package version and, in a checkout, the commit and whether files differ from it.

    A Ray job runs from an archive without history; RSSR_GIT_COMMIT in its environment says the commit then.
    """
    tags = {"rssr.version": _package_version()}
    commit = os.environ.get("RSSR_GIT_COMMIT") or _git("rev-parse", "HEAD")
    if commit:
        tags["mlflow.source.git.commit"] = commit
    if commit and _git("status", "--porcelain", "--untracked-files=no"):
        tags["rssr.git_dirty"] = "true"
    return tags


def _package_version() -> str:
    try:
        return importlib.metadata.version("rssr")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"  # run from a source tree; the commit tells more


def _git(*arguments: str) -> str:
    if not (_ROOT / ".git").exists():
        return ""
    try:
        command = ["git", "-C", str(_ROOT), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

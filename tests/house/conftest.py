"""The project's own files, read once."""

import shutil
import subprocess

import pytest

from tests.house.project_files import ROOT, SOURCE_FOLDERS, Source


@pytest.fixture(scope="session")
def sources() -> list[Source]:
    """All source files: packages, jobs and benchmarks."""
    paths = [path for folder in (*SOURCE_FOLDERS, "benchmarks", "cluster") for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 100
    return [Source(path) for path in sorted(paths)]


@pytest.fixture(scope="session")
def sources_of_tests() -> list[Source]:
    """All test files."""
    return [Source(path) for path in sorted((ROOT / "tests").rglob("*.py"))]


@pytest.fixture(scope="session")
def tracked() -> list[str]:
    """Paths of all files of the project; without a repository, of all that a fresh one would hold."""
    if shutil.which("git") and (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    else:
        ignored = {line.strip().rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
        found = (path for path in ROOT.rglob("*") if path.is_file())
        names = [path.relative_to(ROOT).as_posix() for path in found]
        names = [name for name in names if not ignored.intersection(name.split("/")) and ".egg-info" not in name]
    return sorted(name for name in names if (ROOT / name).is_file())

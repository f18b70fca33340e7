"""The API reference has everything that is public."""

import subprocess
import sys
from pathlib import Path

import pytest

import rssr
from tests.jobs.running import ROOT, environment


@pytest.mark.long
def test_every_public_name_has_its_place(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "reference.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert "Warn" not in done.stderr, done.stderr
    page = (tmp_path / "rssr.html").read_text()
    assert [name for name in rssr.__all__ if f'id="{name}"' not in page] == []
    for module in ("rssr/inference", "rssr/client", "pipelines/bulk/run", "pipelines/serving/models/deployment"):
        assert (tmp_path / f"{module}.html").exists()

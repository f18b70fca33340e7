"""The demonstration: every job on a cluster of three nodes, one of which is lost in each."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.jobs.running import ROOT, environment

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

STEPS = ("ingest", "train", "evaluate", "bulk", "serve")


def test_every_step_ends_complete_though_a_node_is_lost_in_each(tmp_path: Path) -> None:
    command = [sys.executable, "cluster/local/demo.py", "--folder", str(tmp_path / "demo")]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=3500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for step in STEPS:
        assert f"{step}: node " in done.stdout, done.stdout
    assert "everything is complete" in done.stdout

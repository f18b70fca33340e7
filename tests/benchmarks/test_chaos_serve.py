"""A short form of the script that kills parts of the service."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
def test_every_request_is_answered_while_parts_of_the_service_are_killed() -> None:
    command = [sys.executable, "benchmarks/chaos_serve.py", "--requests", "60"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=840, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "amiss: none" in done.stdout

"""Alerts, by Prometheus' own tool: which numbers call somebody, and which do not."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
RULES = HERE.parents[1] / "cluster" / "dashboards" / "alerts.yaml"
_TOOL = shutil.which("promtool")

pytestmark = pytest.mark.skipif(
    _TOOL is None, reason="promtool is not installed: `apt-get install prometheus` brings it"
)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What it says."""
    return subprocess.run(
        [str(_TOOL), *arguments], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
    )


def test_rules_are_rules() -> None:
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_follow_from_what_happens(tmp_path: Path) -> None:
    cases = tmp_path / "cases.yaml"
    cases.write_text((HERE / "alerts.test.yaml").read_text().replace("[RULES]", f"[{RULES}]"))
    done = promtool("test", "rules", str(cases))
    assert done.returncode == 0, done.stdout + done.stderr

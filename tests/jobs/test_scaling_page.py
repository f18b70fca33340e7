"""What the page on scaling says is what the plan job computes."""

import re
import shlex

import pytest

from tests.jobs.running import ROOT, run_job_here

PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
PRESET = ROOT / "jobs" / "presets" / "quickstart" / "bulk.yaml"
BLOCKS = re.findall(r"```console\n\$ python jobs/plan\.py ([^\n]*)\n(.*?)\n```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("arguments", "told"), BLOCKS, ids=[f"block {number}" for number in range(len(BLOCKS))])
def test_the_figures_of_the_page_are_those_of_its_commands(arguments: str, told: str) -> None:
    done = run_job_here(*shlex.split(arguments), job="plan", preset=PRESET)
    assert done.status == 0, done.err
    assert done.out.strip() == told.strip()


def test_the_page_has_figures() -> None:
    assert len(BLOCKS) == 3

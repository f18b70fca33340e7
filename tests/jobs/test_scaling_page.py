"""What the pages on scaling and sizing say is what the plan job computes."""

import re
import shlex

import pytest

from tests.jobs.running import ROOT, run_job_here

PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("scaling", "sizing")}
PRESET = ROOT / "jobs" / "presets" / "quickstart" / "bulk.yaml"
BLOCKS = {
    f"{name}, block {number}": (arguments, told)
    for name, page in PAGES.items()
    for number, (arguments, told) in enumerate(
        re.findall(r"```console\n\$ python jobs/plan\.py ([^\n]*)\n(.*?)\n```", page, re.DOTALL)
    )
}


@pytest.mark.parametrize(("arguments", "told"), BLOCKS.values(), ids=list(BLOCKS))
def test_the_figures_of_the_page_are_those_of_its_commands(arguments: str, told: str) -> None:
    done = run_job_here(*shlex.split(arguments), job="plan", preset=PRESET)
    assert done.status == 0, done.err
    assert done.out.strip() == told.strip()


def test_the_pages_have_figures() -> None:
    assert len(BLOCKS) == 3 + 6


def test_the_times_of_the_table_are_those_of_the_blocks() -> None:
    told = "\n".join(told for name, (_, told) in BLOCKS.items() if name.startswith("sizing"))
    cells = [cell.strip() for line in PAGES["sizing"].splitlines() if line.startswith("|") for cell in line.split("|")]
    times = [cell for cell in cells if re.fullmatch(r"[\d.,]+ (?:s|min|h|days|years)", cell)]
    assert len(times) == 9
    assert [time for time in times if not re.search(rf"(?<![\d.,]){re.escape(time)}\b", told)] == []

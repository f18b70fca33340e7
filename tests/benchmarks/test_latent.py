import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.latent import costs, walk_parts
from benchmarks.latent_walks import DDIM_50, DDIM_1000, LCMSR, LCMSR_X4, LDCSR
from rssr.models.registry import count_image_macs

ROOT = Path(__file__).parents[2]
ABSENT = ("diffusers", "transformers", "pydantic", "ray", "mlflow", "fsspec", "PIL", "scipy", "cv2", "yaml")


def test_it_runs_and_compares_with_pytorch_alone() -> None:
    """At a size of 16, so that only the words and the counts are to be trusted, not the times."""
    arguments = ["--device", "cpu", "--sizes", "16", "--repeats", "1"]
    arguments += ["--only", "ldcsr,lcmsr,lcmsr-x4,ddim-1000,rrdb"]
    script = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({ABSENT})); sys.argv[1:] = {arguments}; "
        "runpy.run_path('benchmarks/latent.py', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "## LR 16 x 16 to 64 x 64" in done.stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]
    found = {(row[0], row[1]): row for row in rows if len(row) == 7}
    for walk, giga_macs in ((LDCSR, "5.4"), (LCMSR, "5.0"), (LCMSR_X4, "3.4")):  # a sixteenth of those from 64 to 256
        fast = next(row for (name, mode), row in found.items() if name == walk.name and mode.startswith("fast"))
        assert found[walk.name, "eager float32"][3] == fast[3] == giga_macs
        assert found[walk.name, "eager float32"][6] == ""
        assert float(fast[6].removesuffix(" dB")) >= 45
    assert found[DDIM_1000.name, "eager float32, composed"][3] == "106.9"
    ratios = {row[0]: row[1:3] for row in rows if len(row) == 4}
    assert ratios["DDIM, 50 steps / LDCSR, 4 steps"] == ["left out", "left out"]
    for name in ("LDCSR, 4 steps", "LCMSR, 1 step", "LCMSR x4, 1 step"):
        assert all(re.fullmatch(r"\d+\.\d\d", ratio) for ratio in ratios[f"RRDB / {name}"])


def test_costs_from_64_to_256_are_the_published_networks() -> None:
    macs = costs(64)
    found = [
        sum(macs[part] * times for part, times in walk_parts(walk).items())
        for walk in (LDCSR, LCMSR, LCMSR_X4, DDIM_50, DDIM_1000)
    ]
    assert [round(count / 1e9, 1) for count in found[:2]] == [85.6, 80.7]
    fixed = count_image_macs("lcmsr-x4", 256)
    assert fixed is not None
    assert found[2] == fixed.total
    step = (found[0] - found[1]) // 3
    assert found[3:] == [found[1] + 49 * step, found[1] + 999 * step]


@pytest.mark.parametrize(
    ("arguments", "reason"), [(["--only", "lcmr"], "not lcmr"), (["--sizes", "64,9"], "even and at least")]
)
def test_unknown_parts_and_odd_sizes_are_refused_wherever_it_is_started(
    arguments: list[str], reason: str, tmp_path: Path
) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/latent.py"), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert reason in done.stderr

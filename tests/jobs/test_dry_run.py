"""What a job would take is told without its weights, its images or Ray."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from jobs import slimdiffsr
from tests.jobs.running import TINY, Finished, paragraph

Job = Callable[..., Finished]
NOTHING = ("data.uri=/no/such/folder", "output.uri=/proc/nothing", "ray.address=nowhere:1", "num_workers=2")


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Job:
    """The smallest job as if typed, with images, outputs and a cluster that do not exist."""

    def run(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["jobs/slimdiffsr.py", str(TINY), "phase.dry_run=true", *NOTHING, *arguments])
        status = slimdiffsr.main()
        return Finished(status, *capfd.readouterr())

    return run


def table(result: Finished) -> list[list[str]]:
    """Rows of the table, the header first; columns are two or more blanks apart."""
    assert result.status == 0, result.err
    lines = result.out.split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_each_phase_has_a_line_and_nothing_else_happens(job: Job, tmp_path: Path) -> None:
    had_ray = ray.is_initialized()  # by other tests of the session
    result = job(f"mlflow.tracking_uri=sqlite:///{tmp_path}/mlflow.db")
    header, *rows = table(result)
    assert header[:5] == ["PHASE", "BATCH", "PARAMETERS", "TRAINED", "GMAC"]
    assert [row[0] for row in rows][:4] == ["base", "uncertainty", "teacher", "student"]
    for row in rows:
        parameters, trained, *figures = (float(cell.replace(",", "")) for cell in row[2:])
        assert 0 < trained <= parameters
        macs, weights, gradients, optimizer, saved, peak, total = figures
        assert macs > 0
        assert 0 < saved <= peak
        assert total == pytest.approx(weights + gradients + optimizer + peak, abs=0.3)
    assert rows[0][1] == "4 x 64 float32"
    assert result.err == ""
    assert ray.is_initialized() == had_ray
    assert list(tmp_path.iterdir()) == []


def test_pretrained_networks_need_not_be_there(job: Job) -> None:
    weights = "base_weights={stable_diffusion: nobody/nothing, taesd: nobody/nothing, auxiliary: /no/weights}"
    _, *rows = table(job(weights, "phases=[uncertainty]", "worker.num_gpus=1", "uncertainty.precision=bfloat16"))
    (uncertainty,) = rows
    autoencoder, estimator = 83_653_863, 11_032
    assert uncertainty[:4] == [
        "uncertainty",
        "4 x 64 bfloat16",
        f"{autoencoder + estimator:,}",
        f"{estimator:,}",
    ]


def test_variants_share_the_phases_that_do_not_differ(job: Job) -> None:
    _, *rows = table(job("ablation=[wo-dsc]", "phases=[teacher,student]"))
    assert [row[0] for row in rows] == ["teacher (published)", "student (published)", "student (wo-dsc)"]
    published, without = (int(row[3].replace(",", "")) for row in rows[1:])
    assert without > published


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("phases=[nonsense]", "Unknown phase 'nonsense'"),
        ("base_weights.stable_diffusion=nobody/nothing", "base_weights.taesd"),
        ("base_weights={stable_diffusion: /no/weights, taesd: /no/taesd}", "/no/weights"),
        ("phase.dry_run=perhaps", "phase.dry_run"),
    ],
)
def test_settings_that_cannot_train_are_refused(job: Job, override: str, expected: str) -> None:
    assert expected in paragraph(job(override))

"""What a training run would take, as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.estimate.training.rates import write_training_rates
from tests.jobs.running import ROOT, TINY, Finished, paragraph, run_job_here
from tests.pipelines.estimate.training.known_work import training_rates

PRESET = ROOT / "jobs" / "presets" / "quickstart" / "bulk.yaml"

Job = Callable[..., Finished]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """The job in this process, for one small phase; rates are known."""
    write_training_rates(training_rates(), tmp_path / "rates.json")

    def run(*arguments: str) -> Finished:
        small = (f"training.preset={TINY}", f"training.rates={tmp_path}/rates.json")
        return run_job_here(*small, "training.overrides.phases=[uncertainty]", *arguments, job="plan", preset=PRESET)

    return run


def words(done: Finished) -> str:
    """The answer in one line, however it is wrapped and aligned."""
    return " ".join(done.out.split())


def told(done: Finished, path: Path) -> Any:
    assert done.status == 0, done.err
    return json.loads(path.read_text())


def test_each_number_of_gpus_has_its_time_and_money(job: Job, tmp_path: Path) -> None:
    path = tmp_path / "estimate.json"
    done = job("training.num_gpus=[1,2]", "plan.price_per_hour=3", f"plan.json_file={path}")
    one, two = told(done, path)["table"]
    assert two["hours"] <= one["hours"]
    assert two["money"] == pytest.approx(3 * two["gpu_hours"])
    assert "Assumed, not measured: a GPU sustains 30 TFLOP/s" in words(done)
    assert "GPU-HOURS USD" in words(done)
    assert done.err == ""


def test_assumptions_are_arguments(job: Job, tmp_path: Path) -> None:
    path = tmp_path / "estimate.json"
    done = job("training.gpus={flops_per_s: 1e6, cores: 3}", f"plan.json_file={path}")
    assert told(done, path)["table"][0]["limits"] == ["arithmetic"]
    assert "sustains 1e-06 TFLOP/s" in words(done)
    assert "3 CPU cores beside each GPU" in words(done)


def test_rates_go_from_file_to_file(job: Job, tmp_path: Path) -> None:
    assert job(f"training.save_rates={tmp_path}/again.json").status == 0
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "rates.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("training.preset=paper/nonsense",), "There is no preset 'paper/nonsense'"),
        (("training.preset=paper/ldcsr",), "does not configure jobs/slimdiffsr.py"),
        (("training.method=srgan",), "input should be 'slimdiffsr', 'ldcsr' or 'lcmsr'"),
        (("training.num_gpus=[0,2]",), "numbers of GPUs start at 1"),
        (("training.num_gpus=[]",), "training.num_gpus"),
        (("training.overrides.student.with=64",), "'student.with' is not a key"),
        (("training.overrides.phases=[nonsense]",), "Unknown phase 'nonsense'"),
        (("training.overrides.ablation=all",), "one at a time"),
        (("training.rates=/no/rates.json",), "training.rates=/no/rates.json cannot be read"),
        (("training.rates=null", "plan.measure=false"), "training.rates=FILE"),
        (("training.gpus.flops_per_s=0",), "training.gpus.flops_per_s"),
        (("training.gpus.coers=3",), "did you mean 'training.gpus.cores'"),
        (("plan.imagined.num_scenes=3", "plan.rates=x"), "is about scenes: leave it out beside training"),
        (("plan.simulate=true",), "plan.simulate is about scenes"),
        (("plan.budget=3",), "a budget needs price_per_hour"),
    ],
)
def test_bad_input_is_one_paragraph(job: Job, arguments: tuple[str, ...], expected: str) -> None:
    assert expected in paragraph(job(*arguments))


@pytest.mark.parametrize(
    "limits", [("plan.price_per_hour=1000", "plan.budget=1e-9"), ("plan.max_hours=1e-12",)], ids=["money", "time"]
)
def test_what_no_number_of_gpus_keeps_within_ends_with_status_4_after_all_was_told(
    job: Job, limits: tuple[str, ...]
) -> None:
    done = job(*limits)
    assert done.status == 4
    assert "GPU-HOURS" in done.out
    assert "None of the numbers of GPUs stays within" in done.err


def test_a_phase_that_does_not_fit_into_memory_ends_with_status_4(job: Job) -> None:
    done = job("training.gpus.memory_bytes=1000000")
    assert done.status == 4
    assert "Phase uncertainty takes" in done.err


def test_help_prints_its_keys(job: Job) -> None:
    text = job("--help").out
    for key in ("training.preset", "training.num_gpus", "training.gpus.flops_per_s", "training.save_rates"):
        assert f"\n  {key} (" in text

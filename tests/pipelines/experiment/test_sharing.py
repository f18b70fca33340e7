"""A step's image pairs stay what they are, however many workers they are dealt out to."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

import rssr.methods
from pipelines.experiment.config import JobConfig
from pipelines.experiment.run import run_experiment
from pipelines.experiment.sharing import num_shares, per_worker, phase_workers
from rssr.errors import ExitCode
from rssr.methods.training import TrainingConfig
from tests.jobs.running import run_job, run_job_here, settings_kept, with_store
from tests.pipelines.toy_method import ToyMethod

SETTINGS = {"num_steps": 6, "batch_size": 4, "patch_size": 32, "learning_rate": 3e-3}
DATA = {"uri": "sample", "sample": {"num_images": 8, "size": 64}, "scale": [1, 4], "degradation": "real-esrgan"}


def job(folder: Path, **values: object) -> JobConfig:
    return JobConfig.model_validate(
        {"output": {"uri": str(folder)}, "data": DATA, "phases": ["sharpen"], "registry": {"name": "toy"}, **values}
    )


def training(batch_size: int) -> TrainingConfig:
    return TrainingConfig.model_validate({**SETTINGS, "batch_size": batch_size})


@pytest.mark.parametrize(
    ("pairs", "num_workers", "expected"),
    [
        (16, 8, (8, 8)),
        (16, [4, 32], (4, 16)),
        (2, 8, (2, 2)),
        (16, 6, (4, 4)),  # six have no equal parts
        (7, 6, (1, 1)),
        (16, [0, 8], (0, 8)),  # this process
        (16, 0, (0, 1)),
    ],
)
def test_a_phase_has_as_many_workers_as_its_pairs_can_be_dealt_out_to(
    tmp_path: Path, pairs: int, num_workers: object, expected: tuple[int, int]
) -> None:
    config = job(tmp_path, num_workers=num_workers, batch_size_of="step")
    assert phase_workers(config, training(pairs)) == expected
    method = ToyMethod.from_values({"sharpen": {**SETTINGS, "batch_size": pairs}})
    dealt = per_worker(method, config).training_config("sharpen")
    assert dealt.batch_size * num_shares(config, training(pairs)) == pairs


def test_pairs_of_each_worker_are_as_many_as_it_was_said(tmp_path: Path) -> None:
    config = job(tmp_path, num_workers=[2, 3])
    method = ToyMethod.from_values({"sharpen": SETTINGS})
    assert phase_workers(config, training(2)) == (2, 3)
    assert per_worker(method, config) is method


def trained(folder: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> dict[str, Tensor]:
    monkeypatch.setitem(rssr.methods._METHODS, "toy", "tests.pipelines.toy_method:ToyMethod")
    with settings_kept():
        config = job(with_store(folder), num_workers=[0, most], batch_size_of="step")
        assert run_experiment(ToyMethod.from_values({"sharpen": SETTINGS}), config) is ExitCode.DONE
    [path] = folder.glob("phases/sharpen-*/output/sharpen.pt")
    weights: dict[str, Tensor] = torch.load(path, weights_only=True)
    return weights


def test_any_number_of_workers_trains_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = trained(tmp_path / "1", monkeypatch, 1)
    for most in (2, 3, 4, 9):
        shared = trained(tmp_path / str(most), monkeypatch, most)
        for name, weights in alone.items():
            torch.testing.assert_close(shared[name], weights, rtol=0, atol=2e-5)


@pytest.mark.long
def test_on_ray_it_is_what_each_worker_would_have_been_told(tmp_path: Path) -> None:
    output = f"output.uri={with_store(tmp_path)}"
    settings = ("phases=[base]", "base.num_steps=6", "base.autoencoder_steps=3", "worker.num_cpus=0.5")
    dealt = run_job("num_workers=3", "batch_size_of=step", output, *settings)  # four pairs a step
    assert dealt.status == 0, dealt.err
    assert "phase base: 2 of 3 workers, since its steps have 4 image pairs" in dealt.err
    told = run_job_here("num_workers=[0,2]", "base.batch_size=2", output, *settings)
    assert told.status == 0, told.err
    assert re.search("phase base is finished already", told.err)

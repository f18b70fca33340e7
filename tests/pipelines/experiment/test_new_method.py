"""A method of one phase that no part of the project knows runs through all of it."""

import inspect
from pathlib import Path

import mlflow
import pytest

import rssr.methods
import tests.pipelines.toy_method
from pipelines.experiment.config import JobConfig
from pipelines.experiment.run import run_experiment
from rssr.errors import ExitCode
from tests.jobs.running import settings_kept, with_store
from tests.pipelines.toy_method import ToyMethod

SETTINGS = {"num_steps": 60, "batch_size": 4, "patch_size": 32, "learning_rate": 3e-3, "validate_every_n_steps": 20}


def test_a_new_method_is_forty_lines_in_one_file() -> None:
    lines = inspect.getsource(tests.pipelines.toy_method).splitlines()
    assert sum(1 for line in lines if line.strip()) <= 40


def test_a_new_method_is_trained_tracked_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rssr.methods._METHODS, "toy", "tests.pipelines.toy_method:ToyMethod")
    config = JobConfig.model_validate(
        {
            "output": {"uri": str(with_store(tmp_path))},
            "data": {
                "uri": "sample",
                "sample": {"num_images": 12, "size": 64},
                "scale": 2,
                "degradation": "bicubic",
                "num_test": 4,
            },
            "phases": ["sharpen"],  # no phase of it exports a model
            "num_workers": 0,
            "registry": {"name": "toy"},
        }
    )
    with settings_kept():
        assert run_experiment(ToyMethod.from_values({"sharpen": SETTINGS}), config) is ExitCode.DONE
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    [run] = [run for run in client.search_runs(experiments) if run.info.run_name == "sharpen"]
    history = {name: [m.value for m in client.get_metric_history(run.info.run_id, name)] for name in run.data.metrics}
    assert len(history["validation/psnr_db"]) == 3
    assert history["validation/psnr_db"][-1] > history["validation/psnr_db"][0]
    assert history["loss/sharpen"][-1] < history["loss/sharpen"][0]
    assert len(list(tmp_path.glob("phases/sharpen-*/output/sharpen.pt"))) == 1
    assert len(list(tmp_path.glob("reports/toy-*.html"))) == 1

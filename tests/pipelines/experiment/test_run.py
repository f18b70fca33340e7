from pathlib import Path

import pytest

from pipelines.datasets.manifest import Manifest
from pipelines.experiment.run import run_key
from pipelines.experiment.slimdiffsr import SlimDiffSRJobConfig
from pipelines.experiment.training import Plan
from pipelines.storage import open_store
from rssr.configuration import load_config
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod
from tests.jobs.running import TINY


def key(folder: Path, *overrides: str) -> str:
    config = load_config(SlimDiffSRJobConfig, TINY, overrides)
    method = SlimDiffSRMethod(config.method_config())
    return run_key(Plan(method, config, open_store(str(folder)), Manifest(("images",), ()), "", {}))


@pytest.mark.parametrize(
    "override",
    [
        "phase.dry_run=true",
        "output.uri=elsewhere",
        "ray.address=local",
        "mlflow.experiment=other",
        "report.pictures=false",
        "num_workers=0",
        "num_workers=[0,1]",
        "batch_size_of=step",
    ],
)
def test_a_run_is_the_same_wherever_it_goes_and_whatever_is_shown(tmp_path: Path, override: str) -> None:
    assert key(tmp_path, override) == key(tmp_path)


@pytest.mark.parametrize(
    "override", ["seed=3", "num_workers=2", "student.num_steps=7", "data.scale=8", "evaluation.border=2"]
)
def test_other_results_are_another_run(tmp_path: Path, override: str) -> None:
    assert key(tmp_path, override) != key(tmp_path)


def test_a_fresh_start_is_another_run(tmp_path: Path) -> None:
    first = key(tmp_path)
    assert key(tmp_path, "fresh=true") != first
    assert key(tmp_path) == key(tmp_path) != first

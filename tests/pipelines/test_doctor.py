"""The checks as they are registered."""

import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from rssr.doctor import CHECKS_GROUP, DoctorOptions

REGISTERED: dict[str, str] = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]["entry-points"][CHECKS_GROUP]


@pytest.mark.parametrize("name", REGISTERED)
def test_every_registered_check_answers_under_its_own_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(variable, raising=False)
    module, _, function = REGISTERED[name].partition(":")
    assert getattr(import_module(module), function)(DoctorOptions()).name == name


def test_what_the_doctor_promises_is_registered() -> None:
    assert {"ray", "ray.nodes", "ray.node_clocks", "ray.shared_memory", "mlflow", "storage", "clock"} == set(REGISTERED)

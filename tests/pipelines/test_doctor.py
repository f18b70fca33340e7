"""The checks as they are registered."""

import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from rssr.doctor import CHECKS_GROUP, DoctorOptions, known_checks

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REGISTERED: dict[str, str] = PROJECT["entry-points"][CHECKS_GROUP]


@pytest.mark.parametrize("name", REGISTERED)
def test_every_registered_check_answers_under_its_own_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(variable, raising=False)
    module, _, function = REGISTERED[name].partition(":")
    assert getattr(import_module(module), function)(DoctorOptions()).name == name


def test_what_the_doctor_promises_is_registered() -> None:
    assert {"ray", "ray.nodes", "ray.node_clocks", "ray.shared_memory", "mlflow", "storage", "clock"} == set(REGISTERED)


def test_the_page_explains_every_line() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    table = page.split("## What the lines mean", 1)[1].split("\n## ", 1)[0]
    names = {*REGISTERED, *(check.name for check in known_checks())}
    assert [name for name in sorted(names) if f"`{name}`" not in table] == []

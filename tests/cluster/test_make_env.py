"""Secrets of one machine's services are made once, and fit one another."""

import stat
from pathlib import Path
from shutil import copy

import pytest

from cluster.compose.make_env import FOLDER, filled, main, write_env
from pipelines.serving.security.keys import parse_keys
from rssr.service_keys import is_key, key_digest


def values(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the example alone."""
    copy(FOLDER / "env.example", tmp_path)
    return tmp_path


def test_every_name_has_a_value_that_fits_into_an_address(folder: Path) -> None:
    made = values(write_env(folder).read_text())
    assert all(made.values())
    secrets = [made[name] for name in ("RAY_AUTH_TOKEN", "POSTGRES_PASSWORD", "S3_SECRET_KEY", "GRAFANA_PASSWORD")]
    assert len(set(secrets)) == 4
    assert all(len(secret) >= 32 and secret.isalnum() for secret in secrets)
    assert made["S3_ACCESS_KEY"] == "rssr"


def test_the_service_knows_the_key_that_prometheus_has() -> None:
    made = values(filled((FOLDER / "env.example").read_text()))
    assert is_key(made["RSSR_METRICS_KEY"])
    assert parse_keys(made["RSSR_API_KEYS"], "test") == {key_digest(made["RSSR_METRICS_KEY"]): "prometheus"}


def test_two_machines_have_other_secrets() -> None:
    example = (FOLDER / "env.example").read_text()
    first, second = values(filled(example)), values(filled(example))
    assert {name for name in first if first[name] == second[name]} == {"S3_ACCESS_KEY", "ACCELERATOR"}


def test_nobody_else_may_read_them(folder: Path) -> None:
    assert stat.S_IMODE(write_env(folder).stat().st_mode) == 0o600


def test_secrets_that_are_there_are_never_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = write_env(folder).read_text()
    monkeypatch.setattr(write_env, "__defaults__", (folder,))
    assert main() == 2
    assert "left as it is" in capsys.readouterr().err
    assert (folder / ".env").read_text() == before

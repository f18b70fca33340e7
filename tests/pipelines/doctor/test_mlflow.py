import time
from importlib import metadata
from pathlib import Path

import pytest

from cluster.local.servers import tracking_server
from pipelines.doctor.mlflow import check_mlflow
from rssr.doctor import Check, DoctorOptions, Finding, State, examine
from tests.conftest import free_port
from tests.jobs.running import with_store
from tests.pipelines.doctor.conftest import StartServer


def look(uri: str | None) -> Finding:
    [finding] = examine(DoctorOptions(tracking_uri=uri), [Check("mlflow", check_mlflow)])
    return finding


def test_without_a_store_nothing_is_looked_at() -> None:
    finding = look(None)
    assert finding.state is State.SKIPPED
    assert metadata.version("mlflow") in finding.found


def test_a_server_that_is_not_there_fails_within_seconds_and_without_secrets() -> None:
    started_s = time.monotonic()
    finding = look(f"http://me:planted-secret@127.0.0.1:{free_port()}")
    assert time.monotonic() - started_s < 30
    assert finding.state is State.FAILED
    assert "The MLflow server" in finding.found
    assert "planted-secret" not in finding.found


def test_a_server_that_never_answers_fails_within_seconds(start_server: StartServer) -> None:
    started_s = time.monotonic()
    finding = look(start_server(silent=True))
    assert time.monotonic() - started_s < 30
    assert "timed out" in finding.found


def test_a_server_of_another_major_version_is_warned_of(start_server: StartServer) -> None:
    finding = look(start_server(body=b"1.30.0"))
    assert finding.state is State.WARNING
    assert "runs MLflow 1.30.0" in finding.found


def test_another_web_server_is_warned_of(start_server: StartServer) -> None:
    finding = look(start_server(status=404))
    assert finding.state is State.WARNING
    assert "address of an MLflow server" in finding.remedy


def test_a_server_that_refuses_the_user_says_what_to_set(start_server: StartServer) -> None:
    finding = look(start_server(status=401))
    assert finding.state is State.FAILED
    assert "MLFLOW_TRACKING_TOKEN" in finding.remedy


def test_a_real_server_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = tracking_server(with_store(tmp_path))
    server.start()
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.port}")
        finding = look(None)
    finally:
        server.kill()
    assert finding.state is State.OK, finding.found
    assert f"MLflow {metadata.version('mlflow')}" in finding.found


def test_a_database_is_opened_and_never_made(tmp_path: Path) -> None:
    absent = look(f"sqlite:///{tmp_path / 'absent' / 'mlflow.db'}")
    assert absent.state is State.FAILED
    assert "no MLflow database" in absent.found
    assert list(tmp_path.iterdir()) == []
    assert look(f"sqlite:///{with_store(tmp_path) / 'mlflow.db'}").state is State.OK


def test_what_is_no_address_of_a_store_fails() -> None:
    finding = look("nonsense")
    assert finding.state is State.FAILED
    assert "not a tracking URI" in finding.found

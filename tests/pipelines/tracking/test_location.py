import sqlite3
from pathlib import Path

import pytest

from pipelines.storage import open_store
from pipelines.tracking import TrackingConfig, TrackingError, TrackingLocation, resolve_tracking
from pipelines.tracking.backup import DatabaseBackup

NO_VARIABLES: dict[str, str] = {}
SERVER = "http://mlflow.example:5000"


def test_configured_uri_comes_before_the_environment(tmp_path: Path) -> None:
    config = TrackingConfig(tracking_uri=f"{SERVER}/")
    location = resolve_tracking(config, str(tmp_path), environment={"MLFLOW_TRACKING_URI": "http://other"})
    assert (location.tracking_uri, location.artifact_location) == (SERVER, None)
    assert location.is_shared


def test_environment_comes_before_the_output(tmp_path: Path) -> None:
    location = resolve_tracking(TrackingConfig(), str(tmp_path), environment={"MLFLOW_TRACKING_URI": SERVER})
    assert location.tracking_uri == SERVER


def test_local_output_holds_database_and_artifacts(tmp_path: Path) -> None:
    location = resolve_tracking(TrackingConfig(), str(tmp_path), environment=NO_VARIABLES)
    assert location.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert location.artifact_location == (tmp_path / "mlflow-artifacts").as_uri()
    assert location.copies is None and not location.is_shared


def test_relative_output_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    location = resolve_tracking(TrackingConfig(), "runs", environment=NO_VARIABLES)
    assert location.tracking_uri == f"sqlite:///{tmp_path}/runs/mlflow.db"


def test_object_store_gets_artifacts_and_a_backup_of_a_local_database(tmp_path: Path) -> None:
    location = resolve_tracking(TrackingConfig(), "s3://bucket/runs/", tmp_path, NO_VARIABLES)
    assert location.artifact_location == "s3://bucket/runs/mlflow-artifacts"
    assert location.copies is not None
    assert location.copies.store.describe(location.copies.key) == "s3://bucket/runs/mlflow/mlflow.db"
    assert location.tracking_uri == f"sqlite:///{location.copies.database}"
    assert location.copies.database.is_relative_to(tmp_path)


def test_a_backup_that_fails_is_told_and_does_not_end_the_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "store").write_text("a file where a folder should be")
    database = tmp_path / "mlflow.db"
    sqlite3.connect(database).close()
    copies = DatabaseBackup(database, open_store(str(tmp_path / "store")), "mlflow.db")
    location = TrackingLocation(f"sqlite:///{database}", None, copies)
    assert location.backup() is False
    assert "is not backed up" in caplog.text and str(database) in caplog.text
    (tmp_path / "store").unlink()
    assert location.backup() is True
    assert (tmp_path / "store" / "mlflow.db").is_file()


def test_each_output_has_its_own_local_database(tmp_path: Path) -> None:
    uris = ["s3://bucket/runs", "s3://bucket/runs/", "s3://bucket/other"]
    first, same, other = (resolve_tracking(TrackingConfig(), uri, tmp_path, NO_VARIABLES) for uri in uris)
    assert first.tracking_uri == same.tracking_uri != other.tracking_uri


def test_local_databases_lie_in_the_users_state_folder() -> None:
    location = resolve_tracking(TrackingConfig(), "s3://bucket/runs", environment={"XDG_STATE_HOME": "/state"})
    assert location.tracking_uri.startswith("sqlite:////state/rssr/")


@pytest.mark.parametrize("uri", ["postgresql://host/mlflow", "mysql+pymysql://host/mlflow"])
def test_databases_keep_artifacts_in_the_output(uri: str) -> None:
    location = resolve_tracking(TrackingConfig(tracking_uri=uri), "s3://bucket/runs", environment=NO_VARIABLES)
    assert (location.tracking_uri, location.artifact_location) == (uri, "s3://bucket/runs/mlflow-artifacts")
    assert location.is_shared and location.copies is None


def test_sqlite_uri_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    location = resolve_tracking(TrackingConfig(tracking_uri="sqlite:///a.db"), str(tmp_path), environment=NO_VARIABLES)
    assert location.tracking_uri == f"sqlite:///{tmp_path}/a.db"


@pytest.mark.parametrize("uri", ["./mlruns", "file:///mlruns", "sqlite://", "databricks", "mlflow.example:5000"])
def test_other_uris_are_refused_with_advice(tmp_path: Path, uri: str) -> None:
    with pytest.raises(TrackingError, match=r"is not a tracking URI.*sqlite:////FOLDER"):
        resolve_tracking(TrackingConfig(tracking_uri=uri), str(tmp_path), environment=NO_VARIABLES)


def test_refusal_does_not_tell_passwords(tmp_path: Path) -> None:
    with pytest.raises(TrackingError) as caught:
        resolve_tracking(TrackingConfig(tracking_uri="ftp://me:hunter22@host"), str(tmp_path), environment=NO_VARIABLES)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize("name", ["what?", "100%25"])
def test_folders_that_mlflow_would_misread_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrackingError, match="Choose a folder"):
        resolve_tracking(TrackingConfig(), str(tmp_path / name), environment=NO_VARIABLES)

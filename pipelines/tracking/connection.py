"""Opening MLflow: quietly, without network surprises, and with an answer within seconds."""

import fcntl
import logging
import os
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.storage import StorageSettings, redact
from pipelines.tracking.errors import TrackingError, first_line
from pipelines.tracking.location import ENVIRONMENT_VARIABLE, sqlite_path
from pipelines.tracking.secrecy import mask_secrets

MlflowClient = Any  # mlflow.MlflowClient; MLflow ships no usable types
MlflowRun = Any  # mlflow.entities.Run, likewise

# Set before MLflow is imported, and only where the user has not decided otherwise.
_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it would report usage to its makers
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow's own retries wait for minutes; ours (delivery, buffer) decide what waiting is worth.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}
_NOISY_LOGGERS = ("mlflow", "alembic")
_SERVER_TIMEOUT_S = 5.0
_SERVER_ATTEMPTS = 3


def prepare_mlflow() -> None:
    """Make MLflow silent and able to reach our S3 endpoint. Cheap to call again."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    settings = StorageSettings.from_environment()
    settings.relax_checksums()
    if settings.endpoint_url:
        os.environ.setdefault("MLFLOW_S3_ENDPOINT_URL", settings.endpoint_url)
    import mlflow  # noqa: F401  # its import configures logging, which is then turned down

    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def connect(tracking_uri: str, create: bool = True) -> MlflowClient:
    """Open a store.

    Args:
        tracking_uri: Server or database.
        create: Whether a SQLite file that does not exist may be made.

    Raises:
        TrackingError: The server does not answer, or the database cannot be opened.
    """
    prepare_mlflow()
    database = sqlite_path(tracking_uri)
    if database is not None:
        _require_database(database, create)
        with _one_at_a_time(database):
            return _open(tracking_uri)
    if tracking_uri.startswith(("http://", "https://")):
        _require_answer(tracking_uri)
    return _open(tracking_uri)


def _open(tracking_uri: str) -> MlflowClient:
    from mlflow import MlflowClient as Client

    registry_uri = os.environ.get("MLFLOW_REGISTRY_URI") or tracking_uri
    try:
        client = Client(tracking_uri=tracking_uri, registry_uri=registry_uri)
        client.search_experiments(max_results=1)  # opens the store: databases are made or checked here
    except Exception as error:
        raise TrackingError(
            f"The MLflow store {redact(tracking_uri)} cannot be opened ({first_line(error)}).",
            "Check that it is reachable and, for a database of an older MLflow, run `mlflow db upgrade` on a copy.",
        ) from error
    return client


def use_tracking(tracking_uri: str) -> None:
    """Make a store the process's default, so that `models:/` URIs are looked up in it."""
    os.environ[ENVIRONMENT_VARIABLE] = tracking_uri


def _require_database(path: Path, create: bool) -> None:
    """Find out at once what MLflow would find out by trying for minutes."""
    if not create and not path.exists():
        raise TrackingError(f"There is no MLflow database at {path}.", "Check the path and the machine.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except (OSError, sqlite3.Error) as error:
        reason = mask_secrets(first_line(error))
        raise TrackingError(
            f"The MLflow database {path} cannot be opened ({reason}).",
            "Check the folder and its rights, or set mlflow.tracking_uri to another place.",
        ) from None


@contextmanager
def _one_at_a_time(database: Path) -> Iterator[None]:
    """MLflow may find the tables half made where two processes open a fresh file at the same moment."""
    with database.with_name(f".{database.name}.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _require_answer(uri: str) -> None:
    """Any HTTP answer will do: MLflow's own requests then say what is wrong with it."""
    parts = urlsplit(uri)
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}/health"
    for attempt in range(_SERVER_ATTEMPTS):
        try:
            with urllib.request.urlopen(address, timeout=_SERVER_TIMEOUT_S):
                return
        except urllib.error.HTTPError:
            return
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            if attempt < _SERVER_ATTEMPTS - 1:
                time.sleep(1.0)
    raise TrackingError(
        f"The MLflow server {redact(uri)} does not answer ({reason}).",
        "Start it, correct mlflow.tracking_uri, or leave that out to keep the store below output.uri.",
    )

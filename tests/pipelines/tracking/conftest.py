"""A real SQLite store and a real MLflow server, which tests may kill and start again."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipelines.tracking import Run, Tracker, TrackingConfig, open_tracker
from pipelines.tracking.connection import connect
from rssr.models.registry import create_model
from rssr.weights.folder import save_model_folder
from tests.conftest import free_port

_STARTUP_S = 60.0
QUIET = TrackingConfig(system_metrics=False)


@dataclass
class MlflowServer:
    """`mlflow server` over a SQLite file, on a port that stays the same when it is started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        if self.process is not None:
            return
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env=environment, start_new_session=True
            )
        self._await()

    def kill(self) -> None:
        """End it and its workers at once, as a lost machine would."""
        if self.process is not None:
            os.killpg(self.process.pid, 9)
            self.process.wait(10)
            self.process = None

    def _await(self) -> None:
        deadline = time.monotonic() + _STARTUP_S
        while time.monotonic() < deadline:
            assert self.process is not None and self.process.poll() is None, (self.folder / "server.log").read_text()
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "server.log").read_text())


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store without runs; making one costs seconds, copying it none."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture(autouse=True)
def no_store_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "RSSR_GIT_COMMIT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def output(tmp_path: Path, empty_database: Path) -> Path:
    """An output folder with a fresh store."""
    folder = tmp_path / "output"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return folder


@pytest.fixture
def tracker(output: Path) -> Tracker:
    return open_tracker(QUIET, str(output))


@pytest.fixture
def run(tracker: Tracker) -> Run:
    return tracker.open_run("key", "name")


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder / "mlflow.db")
    server = MlflowServer(folder, free_port())
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def server(_server: MlflowServer) -> MlflowServer:
    """The shared server, running; a test may kill it."""
    _server.start()
    return _server


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Write a real model folder (bicubic needs no training); notes tell contents apart."""

    def make(note: str = "", name: str = "model") -> Path:
        folder = tmp_path / "models" / name
        attachments = {"training_images.txt": note.encode()}
        save_model_folder(folder, "bicubic", {}, create_model("bicubic"), None, attachments)
        return folder

    return make


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait for something that another thread does."""

    def wait(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)

    return wait

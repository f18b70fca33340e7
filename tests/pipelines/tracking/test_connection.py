import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.tracking import TrackingError, use_tracking
from pipelines.tracking.connection import connect

OPEN_AND_LOG = """
import logging, sys
logging.basicConfig(level=logging.INFO)
from pipelines.tracking import TrackingConfig, open_tracker
tracker = open_tracker(TrackingConfig(system_metrics=False), sys.argv[1])
with tracker.open_run("key", "name") as run:
    run.log_params({"a": 1})
    run.log_metrics({"loss": 1.0})
"""


def test_a_fresh_store_opens_without_a_word(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error::UserWarning", "-c", OPEN_AND_LOG, str(tmp_path / "new" / "folder")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "new" / "folder" / "mlflow.db").is_file()


def test_a_server_that_is_not_there_is_reported_within_seconds() -> None:
    start = time.monotonic()
    with pytest.raises(TrackingError, match="does not answer"):
        connect("http://me:hunter22@127.0.0.1:9")
    assert time.monotonic() - start < 10


def test_a_server_answers(server: Any) -> None:
    assert connect(server.uri).search_experiments()


def test_workers_make_no_database_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="no MLflow database"):
        connect(f"sqlite:///{tmp_path}/mlflow.db", create=False)
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize("content", [None, b"not a database at all, but a text of some length" * 50])
def test_a_place_that_holds_no_database_is_reported_at_once(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mlflow.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    start = time.monotonic()
    with pytest.raises(TrackingError, match=r"mlflow\.db cannot be opened"):
        connect(f"sqlite:///{path}")
    assert time.monotonic() - start < 5


def test_use_tracking_sets_the_process_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other")
    use_tracking("http://mine")
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://mine"

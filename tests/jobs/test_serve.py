"""The serving job as an operator types it: what is wrong is told at once, and what runs ends well."""

import http.client
import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import ray

from tests.conftest import free_port
from tests.jobs.running import ROOT, Finished, environment, job_command, run_job_here
from tests.pipelines.bulk.imagery import png
from tests.pipelines.serving.models.broken import broken

PRESET = ROOT / "jobs" / "presets" / "quickstart" / "serve.yaml"
PATIENCE_S = 280.0


@pytest.fixture
def port() -> int:
    return free_port()


def serve(folder: Path, *arguments: str) -> Finished:
    """The job in this process, where it does not come to serve anything."""
    return run_job_here(f"output={folder / 'state'}", *arguments, preset=PRESET, job="serve")


WRONG = {
    "host=0.0.0.0": "without keys",
    "model=models:/nothing@champion": "nothing",
    "model=no-such-folder": "no-such-folder",
    "wait=false": "running cluster",
    "models.bicubic.scaling={min_replicas: 200, max_replicas: 200}": "200 CPU cores",
    "models.bicubic.scaling={min_replicas: 3, max_replicas: 2}": "min_replicas",
    "models=[bicubic, bicubic]": "called bicubic",
    "security.keys_file=/no/such/file": "cannot be read",
    "security.read_places=[relative]": "security.read_places",
    "colour=red": "not a key",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_before_anything_starts(wrong: str, tmp_path: Path, port: int) -> None:
    was_running = ray.is_initialized()  # by other tests of this process
    done = serve(tmp_path, f"port={port}", wrong)
    assert done.status == 2
    assert WRONG[wrong] in done.err
    assert ray.is_initialized() == was_running


def test_a_port_that_is_taken_is_told(tmp_path: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        done = serve(tmp_path, f"port={port}")
    assert done.status == 2
    assert f"127.0.0.1:{port}" in done.err


def test_a_model_that_fails_its_self_test_is_not_deployed(tmp_path: Path, port: int) -> None:
    was_running = ray.is_initialized()
    done = serve(tmp_path, f"port={port}", f"model={broken(tmp_path / 'broken')}")
    assert done.status == 2
    assert "NaN" in done.err
    assert ray.is_initialized() == was_running


def test_it_serves_until_it_is_told_to_end(tmp_path: Path, port: int) -> None:
    command = job_command(f"output={tmp_path / 'state'}", f"port={port}", preset=PRESET, job="serve")
    log = tmp_path / "log.txt"
    with log.open("wb") as stream:
        job = subprocess.Popen(command, env=environment(), cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT)
    try:
        await_line(job, log, "Ctrl-C ends the service.")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/v1/super-resolve?scale=2", png())
        assert connection.getresponse().read().startswith(b"\x89PNG")
        assert f"http://127.0.0.1:{port}/v1/super-resolve" in log.read_text()
        job.send_signal(signal.SIGTERM)
        assert job.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        job.kill()
        job.wait()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    record = json.loads((tmp_path / "state" / "models" / "bicubic.json").read_text())
    assert record["version"]["name"] == "bicubic"


def await_line(job: "subprocess.Popen[bytes]", log: Path, line: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while line not in log.read_text():
        assert job.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)

"""The serving job as an operator types it: what is wrong is told at once, and what runs ends well."""

import http.client
import json
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import ray
import ray.serve

from tests.conftest import free_port
from tests.jobs.running import ROOT, Finished, environment, job_command, run_job_here
from tests.pipelines.bulk.imagery import png
from tests.pipelines.serving.models.broken import broken

PRESET = ROOT / "jobs" / "presets" / "quickstart" / "serve.yaml"
PATIENCE_S = 280.0
NUM_IN_FLIGHT = 4
PATH = "/v1/super-resolve"


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
def test_what_is_wrong_is_told_before_anything_starts(
    wrong: str, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(ray, "init", lambda **options: started.append("ray"))
    monkeypatch.setattr(ray.serve, "start", lambda **options: started.append("serve"))
    done = serve(tmp_path, f"port={port}", wrong)
    assert done.status == 2
    assert WRONG[wrong] in done.err
    assert started == []


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


def test_it_serves_until_it_is_told_to_end_and_answers_what_it_has_in_hand(tmp_path: Path, port: int) -> None:
    values = (f"output={tmp_path / 'state'}", f"port={port}", f"drain_s={PATIENCE_S}")
    command = job_command(*values, preset=PRESET, job="serve")
    log = tmp_path / "log.txt"
    with log.open("wb") as stream:
        job = subprocess.Popen(command, env=environment(), cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT)
    try:
        await_line(job, log, "Ctrl-C ends the service.")
        assert ask(port, "POST", f"{PATH}?scale=2", png())[1].startswith(b"\x89PNG")
        assert f"http://127.0.0.1:{port}{PATH}" in log.read_text()
        with ThreadPoolExecutor(NUM_IN_FLIGHT) as pool:
            image = png((500, 500))
            answers = [pool.submit(ask, port, "POST", f"{PATH}?scale=4", image) for _ in range(NUM_IN_FLIGHT)]
            await_in_flight(port)
            job.send_signal(signal.SIGTERM)
            require_refusals(port, job)
            for answer in answers:
                status, body = answer.result()
                assert (status, body[:4], body[-8:-4]) == (200, b"\x89PNG", b"IEND")
        assert job.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        job.kill()
        job.wait()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    record = json.loads((tmp_path / "state" / "models" / "bicubic.json").read_text())
    assert record["version"]["name"] == "bicubic"


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of an answer; a 503 must say when to come again."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        assert answer.status != 503 or answer.headers["Retry-After"]
        return answer.status, answer.read()


def await_in_flight(port: int) -> None:
    """Wait until all the images are being worked on."""
    wanted = f'rssr_requests_in_flight{{route="{PATH}"}} {NUM_IN_FLIGHT}.0'
    deadline = time.monotonic() + PATIENCE_S
    while wanted not in ask(port, "GET", "/metrics")[1].decode():
        assert time.monotonic() < deadline, "they are never all in flight"
        time.sleep(0.02)


def require_refusals(port: int, job: "subprocess.Popen[bytes]") -> None:
    """Until the job has ended: what comes now is told to come again, or not connected, once that has begun."""
    statuses = []
    while job.poll() is None:
        try:
            statuses.append(ask(port, "POST", f"{PATH}?scale=2", png())[0])
        except ConnectionError:
            statuses.append(0)
        time.sleep(0.05)
    assert set(statuses) <= {200, 503, 0}, statuses
    refused = [status for status in statuses if status != 200]
    assert refused and statuses[-len(refused) :] == refused, "after the first refusal nothing is taken"


def await_line(job: "subprocess.Popen[bytes]", log: Path, line: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while line not in log.read_text():
        assert job.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)

"""Whatever is sent, the service answers: never by a fault of its own, never late, and without growing."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil
import pytest

from pipelines.serving.problems import KINDS
from tests.conftest import free_port
from tests.house.project_files import ROOT
from tests.pipelines.serving.conftest import Serving
from tests.pipelines.serving.http.live import Answer, Live
from tests.pipelines.serving.security.mutations import archives, images, mutated

_EDGE = "edge"
_ALLOWED_GROWTH_BYTES = 64 * 2**20
_STARTUP_S = 240.0


@dataclass(frozen=True)
class Plain:
    """The service in a process of its own, without Ray: its memory can be told."""

    live: Live
    process: psutil.Process

    @property
    def memory_bytes(self) -> int:
        """The least of a while: buffers come and go."""
        lowest = int(self.process.memory_info().rss)
        for _ in range(10):
            time.sleep(0.3)
            lowest = min(lowest, int(self.process.memory_info().rss))
        return lowest


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plain]:
    """Started once for all tests here."""
    folder, live = tmp_path_factory.mktemp("plain"), Live(free_port())
    module = "tests.pipelines.serving.security.plain_service"
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", module, str(folder / "state"), str(live.port)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    deadline = time.monotonic() + _STARTUP_S
    while not is_ready(live):
        assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.2)
    try:
        yield Plain(live, psutil.Process(process.pid))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def is_ready(live: Live) -> bool:
    with suppress(OSError):
        return live.ask("GET", "/readyz").status == 200
    return False


def require_sane(answer: Answer, what: str) -> None:
    """Success, or a problem that is the caller's, or one to come back with."""
    if answer.status < 400:
        return
    assert answer.slug in KINDS, what
    assert answer.status < 500 or (answer.status == 503 and answer.headers["retry-after"]), f"{what}: {answer.body!r}"
    assert b"/tmp" not in answer.body, what


def form(part: str, data: bytes) -> bytes:
    head = f'--{_EDGE}\r\nContent-Disposition: form-data; name="{part}"; filename="x"\r\n\r\n'
    return head.encode() + data + f"\r\n--{_EDGE}--\r\n".encode()


def send_image(live: Live, data: bytes, number: int) -> Answer:
    """Bare or in a form, with this and that asked for."""
    queries = ("scale=2", "scale=1&format=tiff", "scale=1.5&format=png", "scale=2&format=jpeg")
    path = f"/v1/super-resolve?{queries[number % len(queries)]}"
    if number % 3:
        return live.ask("POST", path, data)
    body = form("image", data)
    return live.ask("POST", path, body, content_type=f"multipart/form-data; boundary={_EDGE}")


def send_archive(live: Live, data: bytes) -> Answer:
    """What is taken is cancelled at once: it is the taking that is tried."""
    kind = f"multipart/form-data; boundary={_EDGE}"
    answer = live.ask("POST", "/v1/archives", form("archive", data), content_type=kind)
    if answer.status == 201:
        require_sane(live.ask("DELETE", answer.headers["location"]), "DELETE")
    return answer


def fuzz(live: Live, num_images: int, num_archives: int, seed: int) -> Counter[int]:
    """Send mutated files; returns how often each status came."""
    counts: Counter[int] = Counter()
    for number, data in enumerate(mutated(images(), num_images, seed)):
        answer = send_image(live, data, number)
        require_sane(answer, f"image {number} of seed {seed}")
        counts[answer.status] += 1
    for number, data in enumerate(mutated(archives(), num_archives, seed)):
        answer = send_archive(live, data)
        require_sane(answer, f"archive {number} of seed {seed}")
        counts[answer.status] += 1
    return counts


def test_sound_files_of_every_kind_are_taken(plain: Plain) -> None:
    statuses = [send_image(plain.live, data, number).status for number, data in enumerate(images())]
    assert statuses.count(200) >= len(images()) // 2
    assert all(send_archive(plain.live, data).status in (201, 429) for data in archives())


def test_mutated_images_and_archives_are_answered(plain: Plain) -> None:
    counts = fuzz(plain.live, 150, 50, seed=1)
    assert counts[200] and counts[422] and counts[415]


@pytest.mark.parametrize(
    ("method", "path", "kind", "body"),
    [
        ("POST", "/v1/archives", "application/json", b"[" * 200_000),
        ("POST", "/v1/archives", "application/json", b'{"input": "' + b"\\ud800" * 100 + b'"}'),
        ("POST", "/v1/archives", "application/json", b'{"input": "s3://x/y", "scale": 1e999}'),
        ("POST", "/v1/archives", "application/json", b'{"input": "s3://x/y", "seed": ' + b"9" * 5000 + b"}"),
        ("POST", "/v1/archives", "application/json", b'{"input": ["file:///etc/passwd"]}'),
        ("POST", "/v1/archives", "application/json", b'{"input": "http://169.254.169.254/latest/meta-data/"}'),
        ("POST", "/v1/archives", "application/json", b'{"input": "s3://x", "output": "/etc"}'),
        ("POST", "/v1/archives", "text/plain", b"x"),
        ("POST", "/v1/super-resolve?seed=" + "9" * 400, "image/png", b"x"),
        ("POST", "/v1/super-resolve?model=%00%0a", "image/png", b"x"),
        ("POST", "/v1/super-resolve?scale=%F0%9F%98%80", "image/png", b"x"),
        ("GET", "/v1/archives?cursor=%00&limit=-1", "", b""),
        ("GET", "/v1/archives/..%2f..%2fetc%2fpasswd", "", b""),
        ("GET", "/v1/archives/%00/files/../../x", "", b""),
        ("GET", "/problems/..%2f..%2fx", "", b""),
        ("GET", "/page/..%2f..%2fapp.py", "", b""),
        ("GET", "//v1//models", "", b""),
        ("PROPFIND", "/v1/models", "", b""),
        ("TRACE", "/v1/models", "", b""),
    ],
)
def test_odd_requests_are_answered(plain: Plain, method: str, path: str, kind: str, body: bytes) -> None:
    answer = plain.live.ask(method, path, body, content_type=kind)
    require_sane(answer, path)
    assert 400 <= answer.status < 500


def sent_by_description(live: Live, num_examples: int) -> int:
    """Requests that the service's own description leads to, valid and not; returns how many were sent."""
    import hypothesis
    import schemathesis

    schema = schemathesis.openapi.from_dict(json.loads(live.ask("GET", "/openapi.json").body))
    num_sent = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in schemathesis.GenerationMode:

            @hypothesis.settings(
                max_examples=num_examples,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[hypothesis.Phase.generate],
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def send(case: schemathesis.Case) -> None:
                nonlocal num_sent
                num_sent += 1
                response = case.call(base_url=f"http://127.0.0.1:{live.port}", timeout=60)
                headers = {name.lower(): value for name, value in response.headers.items()}
                answer = Answer(
                    response.status_code, {name: value[0] for name, value in headers.items()}, response.content
                )
                if case.method.upper() != "HEAD":
                    require_sane(answer, case.as_curl_command())
                if answer.status == 201:
                    live.ask("DELETE", answer.headers["location"])

            run: Callable[[], None] = send
            with suppress(hypothesis.errors.Unsatisfiable):  # of a route without parameters nothing is invalid
                run()
    return num_sent


def test_requests_made_from_the_description_are_answered(plain: Plain) -> None:
    assert sent_by_description(plain.live, 4) > 50


@pytest.mark.long
def test_thousands_of_mutations_leave_the_service_as_it_was(plain: Plain) -> None:
    fuzz(plain.live, 500, 100, seed=2)  # decoders and pools take their room
    before = plain.memory_bytes
    counts = fuzz(plain.live, 4000, 1000, seed=3)
    assert counts.total() == 5000 and counts[200] > 100
    assert plain.memory_bytes - before < _ALLOWED_GROWTH_BYTES


@pytest.mark.long
def test_thousands_of_requests_made_from_the_description_are_answered(plain: Plain) -> None:
    assert sent_by_description(plain.live, 150) > 1500


@pytest.mark.long
def test_on_a_cluster_everything_is_answered_as_well(serving: Serving) -> None:
    counts = fuzz(serving.live, 1000, 100, seed=4)
    assert counts[200] and sent_by_description(serving.live, 20) > 200
    assert serving.live.ask("GET", "/readyz").status == 200

"""The service as its job starts it, with keys, and pages of it in a real browser."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.storage import StorageSettings
from rssr.plain_yaml import write_yaml
from rssr.service_keys import key_line, new_key
from tests.browser import Browser, Tab
from tests.conftest import free_port
from tests.faults import FaultProxy, fault_proxy
from tests.house.project_files import ROOT
from tests.pipelines.evaluation.small import save_sampler
from tests.pipelines.serving.http.live import Answer, Live

_STARTUP_S = 180.0
MODEL = "ldcsr-small"


@dataclass(frozen=True)
class Served:
    """A running service.

    Attributes:
        live: To ask it without a browser.
        key: One of its keys.
        folder: Below which archives may be read and written.
    """

    live: Live
    key: str
    folder: Path

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.live.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request with the key."""
        return self.live.ask(method, path, body, **self.headers, **headers)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`python jobs/serve.py` with bicubic and an untrained LDCSR, which tells its uncertainty."""
    folder = tmp_path_factory.mktemp("service")
    key, port = new_key(), free_port()
    preset = folder / "serve.yaml"
    preset.write_text(write_yaml(_settings(folder, port)), encoding="utf-8")
    environment = {**os.environ, "RSSR_API_KEYS": key_line("page", key), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "jobs/serve.py", str(preset)]
    log = folder / "log.txt"
    with log.open("wb") as stream:
        job = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    served = Served(Live(port), key, folder)
    try:
        _await_ready(served, job, log)
        yield served
    finally:
        job.terminate()
        job.wait(60)


def _settings(folder: Path, port: int) -> dict[str, Any]:
    save_sampler(folder / MODEL)
    replica = {"num_cpus": 0.5}
    models = [{"name": "bicubic", "replica": replica}, {"source": str(folder / MODEL), "replica": replica}]
    for name in ("in", "out"):
        (folder / name).mkdir()
    return {
        "port": port,
        "models": models,
        "output": str(folder / "state"),
        "self_test": {"min_psnr_db": None},
        "security": {"read_places": [str(folder / "in")], "write_places": [str(folder / "out")]},
    }


def _await_ready(served: Served, job: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _STARTUP_S
    while True:
        assert job.poll() is None and time.monotonic() < deadline, log.read_text()
        try:
            if served.live.ask("GET", "/readyz").status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)


Visit = Callable[..., AbstractContextManager[Tab]]


@pytest.fixture
def visit(browser: Browser, service: Served) -> Visit:
    """Show the page as it is behind a proxy that adds the key, or at another address."""

    def show(uri: str = service.uri, **options: Any) -> AbstractContextManager[Tab]:
        return browser.tab(f"{uri}/", headers=service.headers, **options)

    return show


@pytest.fixture
def troubled(service: Served) -> Iterator[FaultProxy]:
    """A proxy before the service, which makes trouble as it is told."""
    with fault_proxy(StorageSettings(endpoint_url=service.uri)) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small PNG."""
    from rssr.images import encode_png
    from rssr.scenes import generate_scene

    path = tmp_path_factory.mktemp("pictures") / "suburb.png"
    path.write_bytes(encode_png(generate_scene(3, 48, 64)))
    return path

"""The service as a user starts it, in a process of its own."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rssr.client import Client
from tests.conftest import free_port
from tests.jobs.running import ROOT, environment

_START_S, _LEAVE_S = 600.0, 60.0  # on a busy machine


@dataclass(frozen=True)
class Served:
    """A running service.

    Attributes:
        url: Where it answers.
        folder: For files of the tests; `place` in it may be read and written by archives.
        logs: Where its processes log.
    """

    url: str
    folder: Path
    logs: Path

    @property
    def place(self) -> Path:
        """Where archives may be read and written."""
        return self.folder / "place"

    @property
    def client(self) -> Client:
        """Without a key."""
        return Client(self.url)


@contextmanager
def serve_job(folder: Path, *settings: str, extra: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Run `jobs/serve.py` until the block ends.

    Args:
        folder: For its state, and for files of the tests.
        settings: Further overrides.
        extra: Of its environment.
    """
    port = free_port()
    served = Served(f"http://127.0.0.1:{port}", folder, folder / "logs")
    served.place.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / "jobs" / "serve.py"), f"port={port}", f"output={folder / 'state'}"]
    command += [f"telemetry.log_folder={served.logs}", f"security.read_places=[{served.place}]"]
    command += [f"security.write_places=[{served.place}]", "ray.num_cpus=2", *settings]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment(extra))
    try:
        deadline_s = time.monotonic() + _START_S
        while not served.client.is_ready():
            assert process.poll() is None and time.monotonic() < deadline_s, (folder / "serve.log").read_text()
            time.sleep(0.2)
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

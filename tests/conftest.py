"""Servers and a cluster that many tests share, each started once and only when asked for; which tests run together."""

import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import boto3
import hypothesis
import pytest

from pipelines.storage import StorageSettings
from tests.browser import Browser, start_browser
from tests.faults import FaultProxy, fault_proxy

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")  # no search for instance roles on a developer's machine
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # whoever waits for workers must not starve beside other programs

_STARTUP_S = 30.0
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_NUM_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_OWN_PORTS = range(20_000 + _WORKER, 32_000, _NUM_WORKERS)
_PORTS = iter(random.SystemRandom().sample(_OWN_PORTS, len(_OWN_PORTS)))

# Fixtures of the session that take longest: all files that use one run on one worker, which alone makes it.
_DEAR = ("undisturbed", "ray_cluster", "served")
# Folders whose own fixtures of the session take long, likewise.
_TOGETHER = ("rssr/methods/slimdiffsr", "pipelines/tracking", "pipelines/serving")
# What takes long begins first, so that no worker is left with it at the end.
_IN_ORDER = (*_DEAR, "jobs", "benchmarks", "pipelines/experiment", *_TOGETHER, "rssr/models", "rssr/methods")

hypothesis.settings.register_profile("patient", deadline=None)  # machines of continuous integration are slow at times
hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, and files of a group follow one another."""
    items.sort(key=lambda item: _place(_group(item.path)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand whole groups of files to workers. The plugin's own groups are lost on pytest 9.2, which keeps node ids."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(config.rootpath / nodeid.partition("::")[0])

    config.option.loadscopereorder = False  # it would begin with the groups of most tests
    return Groups(config, log)


@cache
def _group(path: Path) -> str:
    """Name of the group of files that a file belongs to, most often its own: fixtures of a group are made once."""
    name = path.relative_to(Path(__file__).parent).as_posix()
    together = [folder for folder in _TOGETHER if name.startswith(f"{folder}/")]
    source = path.read_text(encoding="utf-8")
    shared = [fixture for fixture in _DEAR if f"{fixture}: " in source]  # as a parameter
    return next(iter((*together, *shared)), name)


UNTIL_GROUP_ENDS = ExitStack()
"""Closed after the last test of a group: a service that stays for the session takes a fifth of a core from the rest."""


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End what a group has started, once its fixtures are done with."""
    if nextitem is None or _group(nextitem.path) != _group(item.path):
        UNTIL_GROUP_ENDS.close()


def _place(group: str) -> int:
    return next((number for number, start in enumerate(_IN_ORDER) if group.startswith(start)), len(_IN_ORDER))


@dataclass(frozen=True)
class S3Server:
    """A running S3 server."""

    settings: StorageSettings
    log: Path | None = None

    def make_bucket(self) -> str:
        """A fresh bucket's URI."""
        name = f"bucket-{secrets.token_hex(4)}"
        self._client.create_bucket(Bucket=name)
        return f"s3://{name}"

    @cached_property
    def _client(self) -> Any:  # boto3 builds its client classes at run time
        return boto3.session.Session().client("s3", **self.settings.boto3_options())

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make it the environment's server."""
        for name, value in self.settings.mlflow_environment().items():
            monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """`rclone serve s3` over a temporary folder: a real server, which ignores conditional puts."""
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "data").mkdir()
    settings = _local_settings(free_port())
    address = str(settings.endpoint_url).removeprefix("http://")
    keys = f"{settings.access_key_id},{settings.secret_access_key}"
    options = ["--addr", address, "--auth-key", keys, "--config", str(folder / "none.conf")]
    log = folder / "server.log"
    with log.open("wb") as stream:
        command = [_executable("rclone"), "serve", "s3", "-v", *options, str(folder / "data")]
        server = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
    try:
        _await_port(address, server)
        yield S3Server(settings, log)
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """moto's S3 server, which enforces conditional puts."""
    from moto.server import ThreadedMotoServer

    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        yield S3Server(_local_settings(port))
    finally:
        server.stop()


@dataclass(frozen=True)
class FaultyServer:
    """A server, reached directly and through a proxy that makes trouble as told."""

    direct: S3Server
    proxy: FaultProxy

    @property
    def faulty(self) -> S3Server:
        """The server as it is reached through the proxy."""
        return S3Server(self.proxy.settings)


@pytest.fixture(params=["rclone", "moto"])
def faulty_server(request: pytest.FixtureRequest) -> Iterator[FaultyServer]:
    """Each of the two servers behind a proxy of its own."""
    server = request.getfixturevalue("s3_server" if request.param == "rclone" else "moto_server")
    with fault_proxy(server.settings) as proxy:
        yield FaultyServer(server, proxy)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """One local Ray cluster of two CPUs; yields its address."""
    import ray

    context = ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=256 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="warning",
    )
    yield context.address_info["address"]
    ray.shutdown()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A real browser, for the pages that people are shown."""
    with start_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def free_port() -> int:
    """A loopback port nobody listens on, handed out once, outside the range that outgoing connections are given.

    Workers that run tests side by side hand out different ones.

    A port the system chooses lies in that range, so a connection made before the server binds may take it; Ray's agent
    then goes on without its server and the cluster never takes a job.
    """
    while True:
        port = next(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _local_settings(port: int) -> StorageSettings:
    return StorageSettings(
        endpoint_url=f"http://127.0.0.1:{port}",
        region="us-east-1",
        access_key_id="test-access-key",
        secret_access_key="test-secret-key",
    )


def _executable(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed: pip install '.[dev]'"
    return found


def _await_port(address: str, server: subprocess.Popen[bytes]) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + _STARTUP_S
    while time.monotonic() < deadline:
        assert server.poll() is None, f"the server on {address} ended at once"
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"no server on {address} after {_STARTUP_S} s")

"""Starts real servers here (object storage, MLflow, Ray) and kills them: python cluster/local/demo.py."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no stubs

_STARTUP_S = 120.0
_KEYS = ("access-key-0", "secret-key-0")
_OBJECT_STORE_BYTES = 200 * 2**20


@dataclass
class Server:
    """A process, with all that it starts, that listens on a port.

    Attributes:
        command: How it is started.
        folder: Where it runs and leaves its log.
        port: Where it listens.
        name: Of its log.
        env: Its environment.
    """

    command: Sequence[str]
    folder: Path
    port: int
    name: str
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    num_kills: int = field(default=0, init=False)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, cwd=self.folder, env=dict(self.env), start_new_session=True
            )
        deadline_s = time.monotonic() + _STARTUP_S
        while not _listens(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{self.name} does not start; see {self.folder / f'{self.name}.log'}")
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill -9 it and all that it has started, as when a machine is lost."""
        if self.process is None:
            return
        with_children = [self.process.pid, *(child.pid for child in _children(self.process.pid))]
        for pid in with_children:
            _kill(pid)
        self.process.wait()
        self.process = None
        self.num_kills += 1


def object_store(folder: Path) -> tuple[Server, dict[str, str]]:
    """`rclone serve s3` over a folder with one bucket `bucket`, and the environment that reaches it."""
    port = free_port()
    (folder / "objects" / "bucket").mkdir(parents=True)
    command = [_beside_python("rclone"), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", ",".join(_KEYS)]
    command += ["--config", str(folder / "none.conf"), str(folder / "objects")]
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": _KEYS[0],
        "AWS_SECRET_ACCESS_KEY": _KEYS[1],
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return Server(command, folder, port, "rclone"), environment


def tracking_server(folder: Path) -> Server:
    """`mlflow server` over a SQLite file."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return Server(command, folder, port, "mlflow", environment)


@dataclass
class LocalCluster:
    """A Ray cluster of a head node and others, each with its own raylet.

    Args:
        folder: For logs.
        session: A folder of a short name for Ray's sockets and files, of which each node has its own, as on two
            machines: one would delete what the other unpacked there.
        num_cpus: Of each node.
        env: Environment of all, tokens included.
        num_others: Nodes beside the head.
    """

    folder: Path
    session: Path
    num_cpus: int
    env: Mapping[str, str]
    num_others: int = 1

    def __post_init__(self) -> None:
        self.port, self.dashboard_port = free_port(), free_port()
        ray = _beside_python("ray")
        sizes = [f"--num-cpus={self.num_cpus}", f"--object-store-memory={_OBJECT_STORE_BYTES}", "--block"]
        # Workers take whatever ports are free; by default both nodes would want the same range, and ours in it.
        local = ["--node-ip-address=127.0.0.1", "--disable-usage-stats", "--min-worker-port=0", "--max-worker-port=0"]
        local += sizes
        ports = [f"--port={self.port}", f"--dashboard-port={self.dashboard_port}", "--include-dashboard=true"]
        ports += [f"--ray-client-server-port={free_port()}", f"--dashboard-agent-listen-port={free_port()}"]
        head = [ray, "start", "--head", f"--temp-dir={self.session / 'a'}", *ports, *local]
        self.head = Server(head, self.folder, self.port, "head", self.env)
        self.others = [
            Server(self._joining(number, local), self.folder, self.port, f"node{number}", self.env)
            for number in range(1, self.num_others + 1)
        ]

    def _joining(self, number: int, options: Sequence[str]) -> list[str]:
        """The command of one of the other nodes."""
        address, temporary = f"--address=127.0.0.1:{self.port}", f"--temp-dir={self.session / f'n{number}'}"
        agent = f"--dashboard-agent-listen-port={free_port()}"
        return [_beside_python("ray"), "start", address, temporary, agent, *options]

    @property
    def other(self) -> Server:
        """The second node."""
        return self.others[0]

    @property
    def dashboard(self) -> str:
        """Address of the job server and the dashboard."""
        return f"http://127.0.0.1:{self.dashboard_port}"

    @property
    def address(self) -> str:
        """Where jobs connect."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """All nodes; returns once they have joined."""
        for server in (self.head, *self.others):
            server.start()
        self.await_all()

    def await_all(self) -> None:
        """Wait until all nodes have joined, and until those that were killed before are known to be dead."""
        num_killed = sum(server.num_kills for server in self.others)
        deadline_s = time.monotonic() + _STARTUP_S
        while self.num_nodes("ALIVE") != 1 + self.num_others or self.num_nodes("DEAD") < num_killed:
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"a node does not join; see {self.folder / 'node1.log'}")
            time.sleep(0.5)

    def kill(self) -> None:
        """All nodes."""
        for server in (*self.others, self.head):
            server.kill()

    def num_nodes(self, state: str = "ALIVE") -> int:
        """Nodes that are `ALIVE`, or `DEAD`, as far as the head knows: it takes its time to notice."""
        headers = {"Authorization": f"Bearer {self.env['RAY_AUTH_TOKEN']}"}
        request = urllib.request.Request(f"{self.dashboard}/api/v0/nodes", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                nodes = json.load(answer)["data"]["result"]["result"]
        except (OSError, KeyError, TypeError, ValueError):  # not up yet
            return 0
        return sum(1 for node in nodes if node["state"] == state)

    def processes_titled(self, part: str) -> list[int]:
        """Processes of all nodes whose title holds some text, e.g. an actor's class."""
        started = [server.process.pid for server in (self.head, *self.others) if server.process is not None]
        below = [process for pid in started for process in _children(pid)]
        return [int(process.pid) for process in below if part in _title(process)]

    def raylet_of_other(self) -> int:
        """Process number of the second node's raylet."""
        assert self.other.process is not None
        names = {child.pid: child.name() for child in _children(self.other.process.pid)}
        return next(pid for pid, name in names.items() if name == "raylet")


def free_port() -> int:
    """A port below those that outgoing connections take, free at this moment; any, so that two programs get others."""
    for port in random.SystemRandom().sample(range(10_000, 20_000), 10_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port
    raise RuntimeError("no port is free")


_GIVEN: set[int] = set()


def answers(url: str, timeout_s: float = 1.0) -> bool:
    """Whether a web server answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s):
            return True
    except OSError:
        return False


def _children(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _beside_python(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed; it comes with the development dependencies")
    return found

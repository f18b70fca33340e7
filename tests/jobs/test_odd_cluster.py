"""Clusters that cannot run a job as it is meant: refused in one line, by the job and by `rssr doctor`."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import rssr
from cluster.local.servers import LocalCluster
from tests.jobs.running import ROOT, TIMEOUT_S, Finished, environment, job_command, paragraph, run_job
from tests.processes import wait_until

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "token-of-odd-clusters-0123456789"}
# Read by every Python of the node at its start, and before all that is installed.
HIDING = """
import sys
class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("rssr", "pipelines"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hiding())
"""
# Likewise: the package comes from the folder of this file, whatever the driver's path says.
REPLACING = """
import sys
from importlib.machinery import PathFinder
from pathlib import Path
class Replacing:
    def find_spec(self, name, path=None, target=None):
        return PathFinder.find_spec(name, [str(Path(__file__).parent)]) if name == "rssr" else None
sys.meta_path.insert(0, Replacing())
"""
# A job, in a process whose Ray says that it is another version.
OTHER_RAY = "import sys, runpy, ray; ray.__version__ = '2.1.0'; sys.argv = sys.argv[1:]; "
OTHER_RAY += "runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A head node as it should be, and another that tests start as they like."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as session:
        cluster = LocalCluster(tmp_path_factory.mktemp("nodes"), Path(session), num_cpus=1, env=environment(TOKEN))
        try:
            cluster.head.start()
            yield cluster
        finally:
            cluster.kill()


@pytest.fixture
def start_other(nodes: LocalCluster) -> Iterator["StartOther"]:
    """Start the second node with a folder before all others on its path."""
    yield StartOther(nodes)
    nodes.other.kill()
    wait_until(lambda: nodes.num_nodes() == 1)


class StartOther:
    """See the fixture."""

    def __init__(self, nodes: LocalCluster) -> None:
        self._nodes = nodes

    def __call__(self, first_on_path: Path) -> None:
        path = environment().get("PYTHONPATH", "")
        self._nodes.other.env = environment({**TOKEN, "PYTHONPATH": f"{first_on_path}:{path}".rstrip(":")})
        self._nodes.other.start()
        self._nodes.await_all()


def job(nodes: LocalCluster, folder: Path, env: Mapping[str, str]) -> Finished:
    """The smallest job, with a worker on the cluster."""
    return run_job("num_workers=1", f"output.uri={folder}", f"ray.address={nodes.address}", env=env)


def doctor(nodes: LocalCluster, env: Mapping[str, str], status: int) -> dict[str, dict[str, str]]:
    """What `rssr doctor` finds, by name."""
    code = "import sys; from rssr.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "doctor", "--json", "--no-golden", "--address", nodes.address]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment(env), cwd=ROOT, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}


def test_a_node_that_cannot_import_the_package(nodes: LocalCluster, start_other: StartOther, tmp_path: Path) -> None:
    (tmp_path / "hiding").mkdir()
    (tmp_path / "hiding" / "sitecustomize.py").write_text(HIDING)
    start_other(tmp_path / "hiding")
    refused = job(nodes, tmp_path / "runs", TOKEN)
    assert re.search(r"node [\d.]+ \(\w{8}\) lacks rssr and pipelines", paragraph(refused))
    assert "--working-dir" in refused.err
    finding = doctor(nodes, TOKEN, status=2)["ray.nodes"]
    assert finding["state"] == "failed"
    assert "lacks rssr and pipelines" in finding["found"]


def test_a_node_with_another_version_of_the_package(
    nodes: LocalCluster, start_other: StartOther, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "rssr", tmp_path / "old" / "rssr", ignore=shutil.ignore_patterns("__pycache__"))
    start = tmp_path / "old" / "rssr" / "__init__.py"
    start.write_text(start.read_text().replace(f'"{rssr.__version__}"', '"0.0.1"'))
    (tmp_path / "old" / "sitecustomize.py").write_text(REPLACING)
    start_other(tmp_path / "old")
    expected = f"has rssr 0.0.1 instead of {rssr.__version__}"
    assert expected in paragraph(job(nodes, tmp_path / "runs", TOKEN))
    finding = doctor(nodes, TOKEN, status=2)["ray.nodes"]
    assert finding["state"] == "failed"
    assert expected in finding["found"]


def test_a_cluster_as_it_should_be(nodes: LocalCluster, start_other: StartOther, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    start_other(tmp_path / "nothing")
    found = doctor(nodes, TOKEN, status=0)
    assert {found[name]["state"] for name in ("ray", "ray.nodes", "ray.node_clocks")} == {"ok"}
    assert "2 nodes" in found["ray"]["found"]
    assert f"rssr {rssr.__version__}" in found["ray.nodes"]["found"]


@pytest.mark.parametrize("env", [{}, {**TOKEN, "RAY_AUTH_TOKEN": "another-token-0123456789-abcdef"}])
def test_a_token_that_is_missing_or_wrong(nodes: LocalCluster, tmp_path: Path, env: dict[str, str]) -> None:
    message = paragraph(job(nodes, tmp_path / "runs", env))
    assert f"The Ray cluster at {nodes.address} asks for a token" in message
    assert "RAY_AUTH_TOKEN" in message
    found = doctor(nodes, env, status=2)
    assert found["ray"]["state"] == "failed"
    assert "asks for a token" in found["ray"]["found"]
    assert found["ray.nodes"]["state"] == "skipped"


def test_another_version_of_ray(nodes: LocalCluster, tmp_path: Path) -> None:
    arguments = job_command("num_workers=1", f"output.uri={tmp_path}", f"ray.address={nodes.address}")
    command = [sys.executable, "-c", OTHER_RAY, *arguments[1:]]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment(TOKEN), cwd=ROOT, check=False
    )
    message = paragraph(Finished(done.returncode, done.stdout, done.stderr))
    assert re.search(r"runs Ray [\d.]+ on Python [\d.]+, this process Ray 2\.1\.0 on Python", message)


def test_the_address_of_the_job_server(nodes: LocalCluster, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{nodes.dashboard_port}"
    refused = run_job("num_workers=1", f"output.uri={tmp_path}", env={**TOKEN, "RAY_ADDRESS": address})
    assert f"ray job submit --address {address}" in paragraph(refused)

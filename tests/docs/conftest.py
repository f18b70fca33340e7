"""A cluster of its own for the jobs that the pages submit."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.local.servers import LocalCluster
from tests.jobs.running import environment


@pytest.fixture
def ray_jobs(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of whoever submits to it."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "token-of-the-pages-0123456789"}
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as session:
        cluster = LocalCluster(tmp_path, Path(session), num_cpus=2, env=environment(token))
        try:
            cluster.start()
            yield {**token, "RAY_API_SERVER_ADDRESS": cluster.dashboard}
        finally:
            cluster.kill()

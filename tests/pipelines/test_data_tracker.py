"""Ray Data's tracker of actors, on a node that dies."""

import subprocess
import sys
import tempfile
from pathlib import Path

from cluster.local.servers import LocalCluster
from tests.jobs.running import ROOT, environment

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "token-of-the-tracker-0123456789"}
# A process on the head node, told when the other node has been killed.
DRIVER = """
import sys, ray
from ray.data._internal.execution.node_trackers.actor_location import get_or_create_actor_location_tracker
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from pipelines.data_tracker import hold_data_tracker

ray.init(address=sys.argv[1], logging_level="ERROR")
here = ray.get_runtime_context().get_node_id()
[there] = [node["NodeID"] for node in ray.nodes() if node["NodeID"] != here]

@ray.remote(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(there, soft=False))
def ask_first():
    ray.get(get_or_create_actor_location_tracker().get_actor_locations.remote(()))

ray.get(ask_first.remote())
print("ready", flush=True)
sys.stdin.readline()
hold_data_tracker()
numbers = ray.data.range(4).map_batches(type("Same", (), {"__call__": lambda self, batch: batch}), concurrency=1)
print("counted", sorted(row["id"] for row in numbers.iter_rows()), flush=True)
"""


def test_executions_go_on_after_the_node_that_the_tracker_was_on_is_gone(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as session:
        cluster = LocalCluster(tmp_path, Path(session), num_cpus=1, env=environment(TOKEN))
        try:
            cluster.start()
            command = [sys.executable, "-c", DRIVER, cluster.address]
            env = environment({**TOKEN, "PYTHONPATH": str(ROOT)})
            pipe = subprocess.PIPE
            with subprocess.Popen(command, env=env, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as driver:
                assert driver.stdin is not None and driver.stdout is not None
                assert driver.stdout.readline() == "ready\n"
                cluster.other.kill()
                while cluster.num_nodes() > 1:
                    pass
                out, _ = driver.communicate("gone\n", timeout=200)
            assert driver.returncode == 0 and "counted [0, 1, 2, 3]" in out
        finally:
            cluster.kill()

"""Ray: the library, and the cluster where one is named.

The cluster is looked at by another process: Ray may wait for minutes, or end the process that connects to it.
"""

import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass

from pipelines.cluster import require_answer
from pipelines.cluster_errors import token_error
from pipelines.doctor.clock import WARNING_S
from pipelines.nodes import HOW_TO_SHARE_CODE, NodeFacts, differences, listed, own_facts
from rssr.doctor import DoctorOptions, Finding, failed, ok, skipped, warning
from rssr.errors import RssrError, UserError

_PATIENCE_S = 60.0
_NAMED = "Give --address or set RAY_ADDRESS to look at a cluster."


@dataclass(frozen=True)
class ClusterLook:
    """What another process found.

    Attributes:
        nodes: What each node says of itself; none where the cluster was not reached.
        refusal: Why it was not reached, and what to do.
    """

    nodes: tuple[NodeFacts, ...] = ()
    refusal: RssrError | None = None


def check_ray(options: DoctorOptions) -> Finding:
    """Ray loads, and the cluster takes this process."""
    import ray

    address = cluster_address(options)
    if address is None:
        return skipped(
            "ray", f"{ray.__version__} is installed; no cluster is named, jobs start Ray by themselves", _NAMED
        )
    look = look_at(address)
    if look.refusal is not None:
        return failed("ray", look.refusal.problem.rstrip("."), look.refusal.remedy)
    number = len(look.nodes)
    return ok("ray", f"{address} answers: Ray {ray.__version__}, {number} node{'s' * (number != 1)}")


def check_nodes(options: DoctorOptions) -> Finding:
    """Every node runs this code, with the same Python and PyTorch."""
    nodes = _reached(options)
    if not nodes:
        return skipped("ray.nodes", "no cluster was reached")
    ours = own_facts()
    severe, slight = differences(ours, nodes)
    if severe:
        return failed("ray.nodes", listed([*severe, *slight]), HOW_TO_SHARE_CODE)
    if slight:
        return warning("ray.nodes", listed(slight), "Use one container image for all of them, and for this process.")
    versions = ", ".join(f"{name} {version}" for name, version in sorted(ours.versions.items()))
    return ok("ray.nodes", f"all {len(nodes)} run this code: {versions}")


def check_node_clocks(options: DoctorOptions) -> Finding:
    """Leases, metrics and logs are ordered by the nodes' clocks."""
    nodes = [facts for facts in _reached(options) if not facts.problem]
    if not nodes:
        return skipped("ray.node_clocks", "no cluster was reached")
    wrong = [facts for facts in nodes if abs(facts.clock_error_s) > WARNING_S]
    if not wrong:
        return ok("ray.node_clocks", f"all {len(nodes)} within {WARNING_S:g} s of this machine's")
    told = [f"{facts.node} is {abs(facts.clock_error_s):.0f} s {_way(facts.clock_error_s)}" for facts in wrong]
    return warning("ray.node_clocks", listed(told), "Set the clocks, e.g. with NTP on every machine.")


def cluster_address(options: DoctorOptions) -> str | None:
    """The cluster that is asked for, else the environment's."""
    return options.address or os.environ.get("RAY_ADDRESS") or None


@functools.cache
def look_at(address: str, patience_s: float = _PATIENCE_S) -> ClusterLook:
    """Have another process connect, and ask every node; once for all checks.

    Args:
        address: Of the cluster.
        patience_s: How long it may take.
    """
    try:
        require_answer(address)
        return _look(address, patience_s)
    except RssrError as error:
        return ClusterLook(refusal=error)


def _look(address: str, patience_s: float) -> ClusterLook:
    command = [sys.executable, "-m", "pipelines.doctor.cluster_probe", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience_s, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(
            f"The Ray cluster at {address} takes connections, but does not answer within {patience_s:g} s.",
            "Look at `ray status` on its head node. Is this the port of its GCS (6379) or client server (10001)?",
        ) from None
    if done.returncode != 0 or not done.stdout.strip():
        raise _reason(address, done.stderr)
    told = json.loads(done.stdout.splitlines()[-1])
    if "problem" in told:
        raise UserError(told["problem"], told["remedy"])
    return ClusterLook(nodes=tuple(NodeFacts(**facts) for facts in told["nodes"]))


def _reason(address: str, err: str) -> UserError:
    """Why the process ended without an answer: Ray ends it where it is not let in."""
    if "authenticat" in err.lower():
        return token_error(address)
    last = err.strip().splitlines()[-1:] or ["nothing was said"]
    return UserError(f"The Ray cluster at {address} cannot be used: {last[0][:300]}", "Look at its logs.")


def _reached(options: DoctorOptions) -> tuple[NodeFacts, ...]:
    address = cluster_address(options)
    return () if address is None else look_at(address).nodes


def _way(error_s: float) -> str:
    return "ahead of this machine's" if error_s > 0 else "behind this machine's"

"""What the nodes of a cluster run: whether they can import this code, and whether it is the same."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rssr.errors import ConfigError

log = logging.getLogger(__name__)

PACKAGES = ("rssr", "pipelines", "torch")
"""What every node must be able to import."""

_PATIENCE_S = 30.0  # for a worker to start on a busy node
_MOST_NAMED = 5


@dataclass(frozen=True)
class NodeFacts:
    """What a process of one node says of itself.

    Attributes:
        node: Its address, or `this process`.
        versions: Of `python`, `rssr` and `torch`; what is not installed is left out.
        missing: Those of `PACKAGES` that cannot be found.
        code: Digest of the source files of `rssr` and `pipelines`; empty where one of them is missing.
        time_s: Its clock, seconds since 1970.
        asked_s: Our clock before it was asked.
        answered_s: Our clock when its answer was there.
        problem: Why it did not answer; empty where it did.
    """

    node: str
    versions: Mapping[str, str]
    missing: Sequence[str] = ()
    code: str = ""
    time_s: float = 0.0
    asked_s: float = 0.0
    answered_s: float = 0.0
    problem: str = ""

    @property
    def clock_error_s(self) -> float:
        """By how much its clock is wrong at least: positive where it is ahead of ours."""
        return max(self.time_s - self.answered_s, 0.0) + min(self.time_s - self.asked_s, 0.0)


def own_facts() -> NodeFacts:
    """The same of this process."""
    return NodeFacts(node="this process", **_question()(PACKAGES))


def ask_nodes(patience_s: float = _PATIENCE_S) -> list[NodeFacts]:
    """Ask a process on every living node of the cluster that this process is connected to.

    Args:
        patience_s: How long to wait for all of them together.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = {node["NodeID"]: _name(node) for node in ray.nodes() if node["Alive"]}
    remote = ray.remote(num_cpus=0, max_retries=0)(_question())
    asked_s = time.time()
    references = {
        remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote(PACKAGES): name
        for node_id, name in nodes.items()
    }
    found: list[NodeFacts] = []
    waiting, deadline_s = list(references), time.monotonic() + patience_s
    while waiting and (left_s := deadline_s - time.monotonic()) > 0:
        [*ready], waiting = ray.wait(waiting, timeout=left_s)
        found += [_answer(references[reference], reference, asked_s) for reference in ready]
    silent = [
        NodeFacts(references[reference], {}, problem=f"no answer within {patience_s:g} s") for reference in waiting
    ]
    return sorted([*found, *silent], key=lambda facts: facts.node)


def differences(ours: NodeFacts, nodes: Sequence[NodeFacts]) -> tuple[list[str], list[str]]:
    """What is wrong with nodes, in words: what results depend on, and what may make them differ by rounding."""
    severe, slight = [], []
    for facts in nodes:
        if facts.problem:
            slight.append(f"{facts.node}: {facts.problem}")
            continue
        if facts.missing:
            severe.append(f"{facts.node} lacks {' and '.join(facts.missing)}")
            continue
        pairs = {name: (facts.versions.get(name), ours.versions.get(name)) for name in ("rssr", "python", "torch")}
        other = {name: f"{name} {theirs} instead of {mine}" for name, (theirs, mine) in pairs.items() if theirs != mine}
        if "rssr" in other:
            severe.append(f"{facts.node} has {other.pop('rssr')}")
        elif facts.code != ours.code:
            slight.append(f"{facts.node} has other source files of rssr {ours.versions['rssr']}")
        slight += [f"{facts.node} has {words}" for words in other.values()]
    return severe, slight


def require_same_code() -> None:
    """Refuse a cluster whose nodes cannot import this code, or have another version; warn of lesser differences.

    Raises:
        ConfigError: With the nodes, and what they lack.
    """
    severe, slight = differences(own_facts(), ask_nodes())
    if severe:
        raise ConfigError(f"Not every node of the cluster runs this code: {listed(severe)}.", HOW_TO_SHARE_CODE)
    if slight:
        log.warning("Nodes of the cluster differ from this process: %s.", listed(slight))


HOW_TO_SHARE_CODE = (
    "Install the same rssr, with what it needs, on every node (the same container image), or send the code along: "
    "`ray job submit --working-dir . -- python jobs/...`."
)


def listed(texts: Sequence[str]) -> str:
    """A few of them, and how many more there are."""
    more = len(texts) - _MOST_NAMED
    return "; ".join(texts[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _name(node: Mapping[str, Any]) -> str:
    return f"node {node['NodeManagerAddress']} ({node['NodeID'][:8]})"


def _answer(node: str, reference: Any, asked_s: float) -> NodeFacts:  # noqa: ANN401  # ray ships no types
    import ray

    try:
        facts = ray.get(reference)
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())
        return NodeFacts(node, {}, problem=f"{type(error).__name__}: {reason[:200]}")
    return NodeFacts(node=node, asked_s=asked_s, answered_s=time.time(), **facts)


def _question() -> Callable[[Sequence[str]], dict[str, Any]]:
    """A function that travels as it is written, not by its module's name: a node may not be able to import that."""

    def facts(packages: Sequence[str]) -> dict[str, Any]:
        import hashlib
        import importlib
        import importlib.metadata
        import importlib.util
        import platform
        import time
        from pathlib import Path

        def digest(folder: str) -> str:
            known = hashlib.sha256()
            for path in sorted(Path(folder).rglob("*.py")):
                known.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
            return known.hexdigest()

        now_s = time.time()
        versions = {"python": platform.python_version()}
        missing, code = [], []
        for package in packages:
            try:
                found = importlib.util.find_spec(package)
            except ImportError:
                found = None
            if found is None:
                missing.append(package)
            elif package == "torch":  # takes long to import
                versions["torch"] = importlib.metadata.version("torch")
            else:
                code += [digest(place) for place in found.submodule_search_locations or ()]
        if "rssr" not in missing:
            versions["rssr"] = importlib.import_module("rssr").__version__
        return {"versions": versions, "missing": missing, "code": " ".join(code), "time_s": now_s}

    return facts

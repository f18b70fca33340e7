"""The files of `cluster/`, read as those read them who start something by them."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
KUBERAY = CLUSTER / "kuberay"
JOBS = ("ingest", "slimdiffsr", "ldcsr", "lcmsr", "evaluate", "bulk", "plan")

Manifest = dict[str, Any]


def texts() -> dict[str, str]:
    """All files, by path below the root."""
    paths = [path for path in CLUSTER.rglob("*") if path.is_file() and path.suffix != ".pyc" and path.name != ".env"]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(paths)}


@cache
def documents(path: Path) -> tuple[Manifest, ...]:
    """The documents of a YAML file."""
    return tuple(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def document(path: Path) -> Manifest:
    """The only document of a YAML file."""
    (found,) = documents(path)
    return found


def manifests() -> Iterator[tuple[str, Manifest]]:
    """All that Kubernetes is given, as kustomize makes it: where it comes from, and the resource."""
    for folder in ("settings", "cluster", "service", "monitoring"):
        for name in document(KUBERAY / folder / "kustomization.yaml")["resources"]:
            yield from ((f"{folder}/{name}", found) for found in documents(KUBERAY / folder / name))
    for job in JOBS:
        yield f"jobs/{job}", ray_job(job)


def ray_job(name: str) -> Manifest:
    """A job's manifest: that of all, with the cluster's specification and the job's own changes."""
    folder = KUBERAY / "jobs"
    base, overlay = document(folder / "base" / "kustomization.yaml"), document(folder / name / "kustomization.yaml")
    (replacement,) = base["replacements"]
    assert replacement["source"] == {"kind": "RayCluster", "name": "rssr", "fieldPath": "spec"}
    assert replacement["targets"][0]["fieldPaths"] == ["spec.rayClusterSpec"]
    manifest = deepcopy(document(folder / "base" / "rayjob.yaml"))
    manifest["spec"]["rayClusterSpec"] = deepcopy(document(KUBERAY / "cluster" / "raycluster.yaml")["spec"])
    manifest["metadata"]["name"] += overlay["nameSuffix"]
    for patch in overlay["patches"]:
        assert patch["target"] == {"kind": "RayJob"}
        for change in yaml.safe_load(patch["patch"]):
            _apply(manifest, change)
    return manifest


def _apply(manifest: Manifest, change: Manifest) -> None:
    """One operation of a JSON patch (RFC 6902)."""
    *parents, last = change["path"].strip("/").split("/")
    target: Any = manifest
    for parent in parents:
        target = target[int(parent) if isinstance(target, list) else parent]
    at: Any = int(last) if isinstance(target, list) else last
    if change["op"] == "test":
        assert target[at] == change["value"]
    elif change["op"] == "remove":
        del target[at]
    elif change["op"] == "replace":
        assert at in target, change
        target[at] = change["value"]
    else:
        assert change["op"] == "add" and isinstance(target, dict) and at not in target, change
        target[at] = change["value"]


def cluster_spec(manifest: Manifest) -> Manifest | None:
    """The specification of the Ray cluster that a resource starts; None for others."""
    places = {"RayCluster": (), "RayJob": ("rayClusterSpec",), "RayService": ("rayClusterConfig",)}
    if manifest["kind"] not in places:
        return None
    spec: Manifest = manifest["spec"]
    for place in places[manifest["kind"]]:
        spec = spec[place]
    return spec


def pods(manifest: Manifest) -> list[tuple[str, Manifest]]:
    """Templates of a resource's pods, by the group that they belong to."""
    spec = cluster_spec(manifest)
    if spec is None:
        template = manifest.get("spec", {}).get("template")
        return [] if template is None else [(manifest["metadata"]["name"], template["spec"])]
    groups = [(group["groupName"], group["template"]["spec"]) for group in spec["workerGroupSpecs"]]
    submitter = manifest["spec"].get("submitterPodTemplate")
    others = [] if submitter is None else [("submitter", submitter["spec"])]
    return [("head", spec["headGroupSpec"]["template"]["spec"]), *groups, *others]


def ray_clusters() -> dict[str, Manifest]:
    """Specifications of all Ray clusters of Kubernetes, by where they come from."""
    found = {name: cluster_spec(manifest) for name, manifest in manifests()}
    return {name: spec for name, spec in found.items() if spec is not None}

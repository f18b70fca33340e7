"""Manifests of Kubernetes: fields that are published, and pods that can do what is asked of them."""

import re
from typing import Any

import pytest

from tests.cluster.fields import (
    KUSTOMIZATION,
    METADATA,
    NEEDED_OF_CLUSTER,
    NEEDED_OF_GROUP,
    SPECIFICATIONS,
    WORDS,
    unknown,
)
from tests.cluster.files import JOBS, KUBERAY, Manifest, cluster_spec, document, manifests, pods, ray_clusters

MANIFESTS = dict((f"{place} {found['kind']} {found['metadata']['name']}", found) for place, found in manifests())
CLUSTERS = ray_clusters()
PODS = {f"{name} {group}": pod for name, found in MANIFESTS.items() for group, pod in pods(found)}
RAY_PODS = {name: pod for name, pod in PODS.items() if name.rpartition(" ")[2] in ("head", "cpu", "gpu")}
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def num_bytes(quantity: str) -> int:
    """A quantity of memory."""
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


@pytest.mark.parametrize("name", MANIFESTS)
def test_all_fields_are_published_ones(name: str) -> None:
    manifest = MANIFESTS[name]
    kind = (manifest["apiVersion"], manifest["kind"])
    assert unknown(manifest["metadata"], METADATA) == []
    if kind == ("v1", "ConfigMap"):
        assert manifest.keys() == {"apiVersion", "kind", "metadata", "data"}
        assert all(isinstance(value, str) for value in manifest["data"].values())
        return
    assert manifest.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert unknown(manifest["spec"], SPECIFICATIONS[kind]) == []


def test_a_field_that_nobody_published_is_noticed() -> None:
    manifest = MANIFESTS["cluster/raycluster.yaml RayCluster rssr"]
    spec = {**manifest["spec"], "headGroupSpec": {"rayStartParam": {}}, "gcsFaultTolerance": {}}
    assert unknown(spec, SPECIFICATIONS["ray.io/v1", "RayCluster"]) == [
        ".headGroupSpec.rayStartParam",
        ".gcsFaultTolerance",
    ]


@pytest.mark.parametrize("path", sorted(KUBERAY.rglob("kustomization.yaml")), ids=lambda path: path.parent.name)
def test_kustomizations_hold_what_kustomize_knows_and_files_that_are_there(path: Any) -> None:
    found = document(path)
    assert (found["apiVersion"], found["kind"]) == ("kustomize.config.k8s.io/v1beta1", "Kustomization")
    assert unknown(found, KUSTOMIZATION) == []
    assert all((path.parent / name).exists() for name in found["resources"])
    others = {file.name for file in path.parent.glob("*.yaml")} - {"kustomization.yaml"}
    assert others == {name for name in found["resources"] if name.endswith(".yaml")}


def test_there_is_a_job_for_every_folder() -> None:
    folders = {path.parent.name for path in (KUBERAY / "jobs").rglob("kustomization.yaml")}
    assert folders == {*JOBS, "base"}


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_ray_cluster_has_all_that_its_operator_needs(name: str) -> None:
    spec = CLUSTERS[name]
    assert all(spec.get(field) for field in NEEDED_OF_CLUSTER)
    assert spec["authOptions"] == {"mode": "token", "secretName": "rssr-ray-token"}
    assert spec["enableInTreeAutoscaling"] is True
    for key, text in [*spec["autoscalerOptions"].items(), *spec["authOptions"].items()]:
        assert key not in WORDS or text in WORDS[key]
    for group in spec["workerGroupSpecs"]:
        assert all(field in group for field in NEEDED_OF_GROUP)
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "Go reads text only"


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_head_does_no_work(name: str) -> None:
    head = CLUSTERS[name]["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert "nvidia.com/gpu" not in head["template"]["spec"]["containers"][0]["resources"].get("limits", {})


@pytest.mark.parametrize("name", PODS)
def test_pods_run_without_rights(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", RAY_PODS)
def test_ray_pods_are_watched_and_say_what_they_take(name: str) -> None:
    (container,) = RAY_PODS[name]["containers"]
    assert container["readinessProbe"].keys() >= {"httpGet"} and container["livenessProbe"].keys() >= {"httpGet"}
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    assert requests["memory"] == limits["memory"], "Ray takes the limit for what it has"
    assert requests.get("nvidia.com/gpu") == limits.get("nvidia.com/gpu")
    assert requests.keys() >= {"cpu", "memory"}


@pytest.mark.parametrize("name", RAY_PODS)
def test_shared_memory_is_large_enough_for_rays_objects_and_leaves_room(name: str) -> None:
    pod = RAY_PODS[name]
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(mounts.values()) <= volumes.keys()
    shared = volumes[mounts["/dev/shm"]]["emptyDir"]
    assert shared["medium"] == "Memory"
    share = num_bytes(shared["sizeLimit"]) / num_bytes(container["resources"]["limits"]["memory"])
    assert 0.24 < share < 0.4, "Ray's object store takes 30 % of the memory"


@pytest.mark.parametrize("name", RAY_PODS)
def test_pods_may_take_longer_to_leave_than_they_need(name: str) -> None:
    pod = RAY_PODS[name]
    (container,) = pod["containers"]
    command = " ".join(container["lifecycle"]["preStop"]["exec"]["command"])
    assert "ray" in command and "stop" in command
    numbers = [
        int(number)
        for number in re.findall(r"sleep (\d+)|--grace-period=(\d+)", command)
        for number in number
        if number
    ]
    assert numbers and sum(numbers) < pod["terminationGracePeriodSeconds"]


def test_ports_and_volumes_of_groups_of_a_cluster_have_names_of_their_own() -> None:
    for name, pod in PODS.items():
        for container in pod["containers"]:
            ports = [port["name"] for port in container.get("ports", ())]
            assert len(ports) == len(set(ports)), name
            assert all(len(port) <= 15 for port in ports), "Kubernetes takes no longer names"
        volumes = [volume["name"] for volume in pod.get("volumes", ())]
        assert len(volumes) == len(set(volumes)), name


def test_monitors_ask_at_ports_that_pods_have() -> None:
    asked = {
        endpoint["port"]
        for manifest in MANIFESTS.values()
        if manifest["kind"] == "PodMonitor"
        for endpoint in manifest["spec"]["podMetricsEndpoints"]
    }
    held = {port["name"] for pod in RAY_PODS.values() for port in pod["containers"][0]["ports"]}
    assert asked == {"metrics", "as-metrics", "dash-metrics", "serve"} <= held


def test_the_services_figures_are_asked_for_at_one_pod_alone() -> None:
    (monitor,) = [found for name, found in MANIFESTS.items() if name.endswith("PodMonitor rssr-service")]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted["ray.io/node-type"] == "head"
    spec = cluster_spec(next(found for found in MANIFESTS.values() if found["kind"] == "RayService"))
    assert spec is not None
    labels = spec["headGroupSpec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == wanted["app.kubernetes.io/component"]
    others = [
        found["headGroupSpec"]["template"]["metadata"]["labels"] for found in CLUSTERS.values() if found is not spec
    ]
    assert sum("app.kubernetes.io/component" in found for found in others) == 0


def test_a_finished_job_leaves_no_cluster_behind() -> None:
    for name in JOBS:
        job: Manifest = MANIFESTS[f"jobs/{name} RayJob rssr-{name}"]["spec"]
        assert job["shutdownAfterJobFinishes"] is True
        assert 0 < job["ttlSecondsAfterFinished"] < 3600
        assert job["activeDeadlineSeconds"] > job["preRunningDeadlineSeconds"] > 0
        assert job["submissionMode"] in WORDS["submissionMode"]


def test_configuration_that_pods_name_is_there() -> None:
    maps = {found["metadata"]["name"] for found in MANIFESTS.values() if found["kind"] == "ConfigMap"}
    claims = {found["metadata"]["name"] for found in MANIFESTS.values() if found["kind"] == "PersistentVolumeClaim"}
    for pod in RAY_PODS.values():
        sources = pod["containers"][0]["envFrom"]
        assert {source["configMapRef"]["name"] for source in sources if "configMapRef" in source} <= maps
        named = [
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["volumes"]
            if "persistentVolumeClaim" in volume
        ]
        assert set(named) <= claims

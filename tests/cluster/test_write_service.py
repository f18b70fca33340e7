"""The service's manifest has the settings of cluster/serve.yaml, and Ray Serve takes them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

import cluster.write_service
from cluster.write_service import MANIFEST, PRESET, main, with_settings
from pipelines.serving.config import ServeConfig
from rssr.configuration import load_config
from rssr.plain_yaml import read_yaml
from tests.cluster.files import document, ray_clusters
from tests.jobs.running import run_job_here

CONFIG = load_config(ServeConfig, PRESET)
SPEC: dict[str, Any] = document(MANIFEST)["spec"]
GROUPS = {group["groupName"]: group for group in SPEC["rayClusterConfig"]["workerGroupSpecs"]}


def limits_of(group: str) -> dict[str, str]:
    """What a pod of a group has."""
    found: dict[str, str] = GROUPS[group]["template"]["spec"]["containers"][0]["resources"]["limits"]
    return found


def test_the_manifest_has_what_the_serving_job_writes(tmp_path: Path) -> None:
    target = tmp_path / "serve_config.yaml"
    done = run_job_here(f"write_config={target}", preset=PRESET, job="serve")
    assert done.status == 0, done.err
    assert SPEC["serveConfigV2"] == target.read_text(encoding="utf-8"), "run `python cluster/write_service.py`"


def test_ray_serve_takes_it() -> None:
    schema = ServeDeploySchema.model_validate(read_yaml(SPEC["serveConfigV2"]))
    (application,) = schema.applications
    settings = ServeConfig.model_validate(application.args)
    assert settings.models == CONFIG.models
    assert settings.ray.may_grow
    assert (schema.http_options.host, schema.http_options.port) == (CONFIG.host, CONFIG.port)


def test_writing_it_again_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "rayservice.yaml"
    copy.write_text(MANIFEST.read_text())
    monkeypatch.setattr(cluster.write_service, "MANIFEST", copy)
    assert main() == 0
    assert copy.read_text() == MANIFEST.read_text()


def test_other_settings_leave_the_rest_of_the_manifest_alone() -> None:
    before = MANIFEST.read_text()
    changed = with_settings(before, "proxy_location: Disabled\napplications: []\n")
    assert yaml.safe_load(changed)["spec"] == {**SPEC, "serveConfigV2": "proxy_location: Disabled\napplications: []\n"}
    assert with_settings(changed, SPEC["serveConfigV2"]) == before


def test_settings_that_are_none_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "serve.yaml"
    wrong.write_text("modles: []\n")
    monkeypatch.setattr(cluster.write_service, "PRESET", wrong)
    assert main() == 2
    assert "modles" in capsys.readouterr().err


def test_the_service_is_reachable_only_with_a_key() -> None:
    assert not CONFIG.is_loopback
    keys = Path(str(CONFIG.security.keys_file))
    for spec in (SPEC["rayClusterConfig"]["headGroupSpec"], *GROUPS.values()):
        pod = spec["template"]["spec"]
        mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mounts[str(keys.parent)]]
        assert volume["secret"]["secretName"] == "rssr-api-keys"
    assert keys.name == "keys"


def test_state_and_products_lie_where_all_nodes_reach_them() -> None:
    assert CONFIG.output.uri.startswith("s3://")
    assert all(place.startswith("s3://") for place in (*CONFIG.security.read_places, *CONFIG.security.write_places))


@pytest.mark.parametrize("name", [model.name for model in CONFIG.models])
def test_a_replica_fits_on_a_node(name: str) -> None:
    (model,) = [model for model in CONFIG.models if model.name == name]
    group = limits_of("gpu" if model.replica.num_gpus else "cpu")
    assert model.replica.num_cpus <= int(group["cpu"])
    assert model.replica.num_gpus <= int(group.get("nvidia.com/gpu", 0))


def test_the_cluster_may_have_enough_nodes_for_all_replicas_and_the_archives() -> None:
    on_gpus = [model for model in CONFIG.models if model.replica.num_gpus]
    archives = CONFIG.archives.num_workers * CONFIG.archives.max_running * CONFIG.archives.worker.num_gpus
    most = sum(model.scaling.max_replicas * model.replica.num_gpus for model in on_gpus) + archives
    assert most <= GROUPS["gpu"]["maxReplicas"]
    fewest = sum(model.scaling.min_replicas for model in on_gpus)
    assert fewest == GROUPS["gpu"]["minReplicas"]


def test_requests_are_finished_before_a_node_leaves() -> None:
    for group in GROUPS.values():
        pod = group["template"]["spec"]
        command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
        waits_s = int(command.split()[1].rstrip(";"))
        assert waits_s > CONFIG.drain_s
        assert pod["terminationGracePeriodSeconds"] > waits_s + CONFIG.drain_s


def test_a_node_gets_requests_only_where_a_proxy_answers() -> None:
    for group in GROUPS.values():
        probe = group["template"]["spec"]["containers"][0]["readinessProbe"]
        assert probe["httpGet"] == {"path": "/-/healthz", "port": CONFIG.port}
    assert SPEC["excludeHeadPodFromServeSvc"] is True
    (port,) = SPEC["serveService"]["spec"]["ports"]
    assert port["port"] == port["targetPort"] == CONFIG.port


def test_the_head_of_the_service_may_die() -> None:
    options = SPEC["rayClusterConfig"]["gcsFaultToleranceOptions"]
    assert options["redisAddress"] == "rssr-redis:6379"
    assert [name for name, spec in ray_clusters().items() if "gcsFaultToleranceOptions" in spec] == [
        "service/rayservice.yaml"
    ]
    for group in GROUPS.values():
        probe = group["template"]["spec"]["containers"][0]["livenessProbe"]
        assert probe["failureThreshold"] * probe["periodSeconds"] >= 600, "workers outlive a head that is replaced"

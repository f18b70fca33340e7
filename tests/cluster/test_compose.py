"""The services of one machine: keys that Compose knows, nothing open to others, commands that programs take."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import boto3
import click
import pytest
import yaml
from ray.scripts.scripts import cli as ray_cli

from tests.cluster.fields import COMPOSE_SECRET, COMPOSE_SERVICE, unknown
from tests.cluster.files import CLUSTER, ROOT, Manifest, document
from tests.conftest import S3Server
from tests.processes import run_python

FOLDER = CLUSTER / "compose"
COMPOSE = document(FOLDER / "compose.yaml")
SERVICES: dict[str, Manifest] = COMPOSE["services"]
LASTING = [name for name in SERVICES if name != "buckets"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_keys_that_compose_knows(name: str) -> None:
    assert unknown(SERVICES[name], COMPOSE_SERVICE) == []


def test_the_file_has_keys_that_compose_knows() -> None:
    known = {"name", "services", "secrets", "volumes", "networks", "configs"}
    assert {key for key in COMPOSE if not key.startswith("x-")} <= known
    assert all(unknown(secret, COMPOSE_SECRET) == [] for secret in COMPOSE["secrets"].values())
    override = document(FOLDER / "gpu.yaml")
    assert override.keys() == {"services"}
    assert override["services"].keys() <= SERVICES.keys()
    assert all(unknown(service, COMPOSE_SERVICE) == [] for service in override["services"].values())


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_open_to_other_machines(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)
    assert "network_mode" not in SERVICES[name]


@pytest.mark.parametrize("name", LASTING)
def test_services_are_watched_and_come_back(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_those_that_it_needs(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_healthy" if needed in LASTING else "service_completed_successfully"
        assert how == {"condition": wanted}


def test_volumes_that_are_mounted_are_there() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert (FOLDER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_what_must_outlive_a_container_is_in_volumes() -> None:
    held = {name: [mount.split(":")[1] for mount in service.get("volumes", ())] for name, service in SERVICES.items()}
    assert "/var/lib/postgresql/data" in held["postgres"]
    assert "/data" in held["object-store"]
    assert "/prometheus" in held["prometheus"] and "/var/lib/grafana" in held["grafana"]


@pytest.mark.parametrize("name", ["ray-head", "ray-worker"])
def test_ray_takes_its_options(name: str) -> None:
    program, command, *arguments = shlex.split(SERVICES[name]["command"])
    assert (program, command) == ("ray", "start")
    ray_cli.commands["start"].make_context("ray start", [*arguments])  # click takes them out
    assert "--block" in arguments, "a container ends with its first process"
    assert ("--num-cpus=0" in arguments) == (name == "ray-head")


def test_mlflow_takes_its_options() -> None:
    from mlflow.cli import cli  # here, because it takes seconds to load

    program, command, *arguments = shlex.split(SERVICES["mlflow"]["command"])
    assert (program, command) == ("mlflow", "server")
    known = {option for found in cli.commands["server"].params for option in (*found.opts, *found.secondary_opts)}
    assert {word for word in arguments if word.startswith("--")} <= known
    store = next(found for found in cli.commands["server"].params if found.name == "backend_store_uri")
    assert isinstance(store, click.Option) and store.envvar == "MLFLOW_BACKEND_STORE_URI"
    assert arguments[arguments.index("--default-artifact-root") + 1].startswith("s3://rssr/")


def test_the_objects_store_gets_its_user_from_the_environment(tmp_path: Path) -> None:
    (script,) = SERVICES["object-store"]["command"]
    written = script.replace("$$", "$").replace("/tmp/s3.json", str(tmp_path / "s3.json"))
    before, _, server = written.partition("exec ")
    env = {**os.environ, "AWS_ACCESS_KEY_ID": "rssr", "AWS_SECRET_ACCESS_KEY": "of-this-test"}
    subprocess.run([*SERVICES["object-store"]["entrypoint"], before], env=env, check=True)
    (user,) = json.loads((tmp_path / "s3.json").read_text())["identities"]
    assert user["credentials"] == [{"accessKey": "rssr", "secretKey": "of-this-test"}]
    assert "Admin" in user["actions"]
    assert (tmp_path / "s3.json").stat().st_mode & 0o077 == 0
    assert f"-s3.config={tmp_path / 's3.json'}" in server and "-s3.port=8333" in server


def test_the_bucket_is_made_once(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    _, flag, script = SERVICES["buckets"]["command"]
    assert flag == "-c"
    moto_server.use(monkeypatch)
    for _ in range(2):
        run_python(script)
    client = boto3.session.Session().client("s3", **moto_server.settings.boto3_options())
    assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]].count("rssr") == 1


def test_all_containers_of_ray_reach_the_same_store_and_cluster() -> None:
    head, worker = (SERVICES[name]["environment"] for name in ("ray-head", "ray-worker"))
    shared = head.keys() & worker.keys()
    assert shared >= {"AWS_ENDPOINT_URL_S3", "MLFLOW_TRACKING_URI", "RAY_ADDRESS", "RAY_AUTH_TOKEN", "RSSR_API_KEYS"}
    assert {name for name in shared if head[name] != worker[name]} == set()
    assert head["AWS_ENDPOINT_URL_S3"] == SERVICES["mlflow"]["environment"]["MLFLOW_S3_ENDPOINT_URL"]


def test_addresses_of_services_name_services_and_their_ports() -> None:
    text = (
        yaml.safe_dump(COMPOSE)
        + (FOLDER / "prometheus.yml").read_text()
        + (FOLDER / "grafana" / "datasources.yaml").read_text()
    )
    named = set(re.findall(r"(?:https?://|@|\[)([a-z][a-z-]+):(\d{4,5})", text))
    assert len(named) >= 6
    own = {"postgres": "5432", "mlflow": "5000"}
    for name, port in named:
        ports = [str(found).rpartition(":")[2] for found in SERVICES[name].get("ports", ())]
        assert port in ports or own.get(name) == port, f"{name}:{port}"


def test_prometheus_asks_ray_and_the_service() -> None:
    jobs = {job["job_name"]: job for job in document(FOLDER / "prometheus.yml")["scrape_configs"]}
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    ((listed,),) = [source["files"] for source in jobs["ray"]["file_sd_configs"]]
    assert listed == f"/tmp/ray/{PROMETHEUS_SERVICE_DISCOVERY_FILE}"
    for name in ("ray-head", "prometheus", "grafana"):
        assert any(mount.startswith("ray-session:/tmp/ray") for mount in SERVICES[name]["volumes"])
    assert jobs["rssr"]["metrics_path"] == "/metrics"
    (secret,) = SERVICES["prometheus"]["secrets"]
    assert jobs["rssr"]["authorization"]["credentials_file"] == f"/run/secrets/{secret}"


def test_grafana_loads_dashboards_from_where_they_are_mounted() -> None:
    mounts = {mount.split(":")[1]: mount.split(":")[0] for mount in SERVICES["grafana"]["volumes"]}
    (ours,) = [p for p in document(CLUSTER / "dashboards" / "provisioning.yaml")["providers"] if p["name"] == "rssr"]
    assert (FOLDER / mounts[ours["options"]["path"]]).resolve() == ROOT / "cluster" / "dashboards"
    assert mounts["/etc/grafana/provisioning/dashboards/rssr.yaml"] == "../dashboards/provisioning.yaml"
    assert "/etc/grafana/provisioning/datasources/rssr.yaml" in mounts


def test_the_service_may_finish_what_it_has_before_its_containers_are_killed() -> None:
    drain_s = document(CLUSTER / "serve.yaml")["drain_s"]
    assert all(
        int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > drain_s for name in ("ray-head", "ray-worker")
    )

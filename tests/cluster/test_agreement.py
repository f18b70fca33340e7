"""What files of `cluster/` say twice, or say of the code: versions, image, ports, names of the environment."""

import re
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from pipelines.serving.config import ServeConfig
from pipelines.tracking.location import ENVIRONMENT_VARIABLE
from tests.cluster.files import CLUSTER, ROOT, Manifest, document, manifests, pods, ray_clusters, texts

TEXTS = texts()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINNED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
COMPOSE = document(CLUSTER / "compose" / "compose.yaml")
CONTAINERFILE = TEXTS["cluster/Containerfile"]
IMAGE = f"registry.example.org/rssr:{PROJECT['project']['version']}"
SITE = Path(str(distribution("ray").locate_file("")))

# Ports of Ray, each with the constant that is its default.
RAY_PORTS = {
    6379: ("ray/_private/ray_constants.py", r"DEFAULT_PORT = 6379"),
    8265: ("ray/_private/ray_constants.py", r"DEFAULT_DASHBOARD_PORT = 8265"),
    52365: ("ray/_private/ray_constants.py", r"DEFAULT_DASHBOARD_AGENT_LISTEN_PORT = 52365"),
    10001: ("ray/scripts/scripts.py", r"default=10001|10001"),
    44217: ("ray/autoscaler/_private/constants.py", r'"AUTOSCALER_METRIC_PORT", 44217'),
    44227: ("ray/dashboard/consts.py", r'"DASHBOARD_METRIC_PORT", 44227'),
}
# Who else reads a variable: a file of an installed package, in which its name must stand.
READ_BY_PACKAGES = {
    "RAY_AUTH_MODE": "ray/_private/authentication/authentication_token_setup.py",
    "RAY_AUTH_TOKEN": "ray/_private/runtime_env/image_uri.py",
    "RAY_AUTH_TOKEN_PATH": "ray/_private/runtime_env/image_uri.py",
    "RAY_API_SERVER_ADDRESS": "ray/dashboard/utils.py",
    "RAY_PROMETHEUS_HOST": "ray/dashboard/modules/metrics/metrics_head.py",
    "RAY_GRAFANA_HOST": "ray/dashboard/modules/metrics/metrics_head.py",
    "RAY_GRAFANA_IFRAME_HOST": "ray/dashboard/modules/metrics/metrics_head.py",
    "RAY_USAGE_STATS_ENABLED": "ray/_common/usage/usage_constants.py",
    "MLFLOW_BACKEND_STORE_URI": "mlflow/cli/__init__.py",
    "MLFLOW_S3_ENDPOINT_URL": "mlflow/environment_variables.py",
    "MLFLOW_DISABLE_TELEMETRY": "mlflow/environment_variables.py",
    "MLFLOW_TRACKING_USERNAME": "mlflow/environment_variables.py",
    "MLFLOW_TRACKING_PASSWORD": "mlflow/environment_variables.py",
    "PIP_DISABLE_PIP_VERSION_CHECK": "",  # pip makes the names of its options
}
# Programs that are no Python packages, as their own documentation has it.
READ_BY_PROGRAMS = {
    "POSTGRES_USER": "postgres",
    "POSTGRES_PASSWORD": "postgres",
    "POSTGRES_DB": "postgres",
    "GF_SECURITY_ADMIN_PASSWORD": "grafana",
    "GF_SECURITY_ALLOW_EMBEDDING": "grafana",
    "GF_AUTH_ANONYMOUS_ENABLED": "grafana",
    "GF_AUTH_ANONYMOUS_ORG_ROLE": "grafana",
    "GF_ANALYTICS_REPORTING_ENABLED": "grafana",
    "NVIDIA_DRIVER_CAPABILITIES": "NVIDIA's container toolkit",
    "REDIS_PASSWORD": "the command beside it",
    "PATH": "the shell",
    "HOME": "the shell",
    "PYTHONUNBUFFERED": "Python",
}


def test_every_file_names_the_image_of_this_version() -> None:
    named = {name: set(re.findall(r"registry\.example\.org/rssr\S*", text)) for name, text in TEXTS.items()}
    found = {name: images for name, images in named.items() if images}
    assert len(found) >= 5
    assert {name: images for name, images in found.items() if images != {IMAGE}} == {}
    assert f'org.opencontainers.image.version="{PROJECT["project"]["version"]}"' in CONTAINERFILE


def test_every_ray_container_runs_that_image() -> None:
    images = {
        container["image"]
        for _, manifest in manifests()
        for _, pod in pods(manifest)
        for container in pod["containers"]
        if container["name"].startswith("ray-")
    }
    assert images == {IMAGE}


def test_other_images_have_a_version() -> None:
    images = [service["image"] for service in COMPOSE["services"].values()]
    images += [c["image"] for _, manifest in manifests() for _, pod in pods(manifest) for c in pod["containers"]]
    assert [image for image in images if not re.fullmatch(r"[a-z./]+:v?\d+(?:\.\d+)*", image)] == []


def test_ray_is_the_pinned_one() -> None:
    assert {spec["rayVersion"] for spec in ray_clusters().values()} == {PINNED["ray"]}


def test_python_is_the_one_that_the_project_is_checked_with() -> None:
    (version,) = re.findall(r"ARG PYTHON_VERSION=(\S+)", CONTAINERFILE)
    assert version == PROJECT["tool"]["mypy"]["python_version"]
    assert PROJECT["project"]["requires-python"] == f">={version}"
    assert f"| `PYTHON_VERSION` | `{version}` |" in TEXTS["cluster/README.md"]
    if sys.version_info[:2] == (3, 11):
        assert f"{sys.version_info.major}.{sys.version_info.minor}" == version


def test_mlflow_runs_from_the_projects_image_and_is_therefore_the_pinned_one() -> None:
    assert COMPOSE["services"]["mlflow"]["image"] == IMAGE
    assert "--constraint constraints.txt" in CONTAINERFILE
    extras = PROJECT["project"]["optional-dependencies"]
    assert re.findall(r"ARG EXTRAS=(\S+)", CONTAINERFILE) == ["postgresql"]
    assert extras["postgresql"] and "psycopg" in PINNED and "mlflow" in PINNED


@pytest.mark.parametrize("port", RAY_PORTS)
def test_ports_of_ray_are_rays_own(port: int) -> None:
    place, pattern = RAY_PORTS[port]
    assert re.search(pattern, (SITE / place).read_text(encoding="utf-8"))


def test_ports_are_those_of_ray_or_of_the_service() -> None:
    known = {*RAY_PORTS, ServeConfig().port, 8080}  # 8080: told to Ray in each file
    used = set()
    for _, manifest in manifests():
        for _, pod in pods(manifest):
            for container in pod["containers"]:
                used |= {port["containerPort"] for port in container.get("ports", ())}
                probes = (container.get("readinessProbe", {}), container.get("livenessProbe", {}))
                used |= {probe["httpGet"]["port"] for probe in probes if "httpGet" in probe}
    assert used <= known
    assert used >= {8000, 8265, 52365}
    for spec in ray_clusters().values():
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            assert group["rayStartParams"]["metrics-export-port"] == "8080"


@pytest.mark.parametrize("path", ["/api/local_raylet_healthz", "/api/gcs_healthz", "/-/healthz"])
def test_paths_of_probes_are_answered_by_ray_without_a_token(path: str) -> None:
    server = (SITE / "ray/dashboard/http_server_head.py").read_text(encoding="utf-8")
    agent = (SITE / "ray/dashboard/http_server_agent.py").read_text(encoding="utf-8")
    assert f'"{path}"' in server
    assert path != "/api/local_raylet_healthz" or f'"{path}"' in agent
    assert any(path in text for name, text in TEXTS.items() if name.startswith("cluster/kuberay"))


def environment_names() -> dict[str, str]:
    """Variables that the files set, and where."""
    found = {
        name: "env.example" for name in re.findall(r"^([A-Z][A-Z0-9_]+)=", TEXTS["cluster/compose/env.example"], re.M)
    }
    for service, settings in COMPOSE["services"].items():
        found |= dict.fromkeys(settings.get("environment", {}), f"compose: {service}")
    (block,) = re.findall(r"\nENV (PATH=(?:.*\\\n)*.*)\n", CONTAINERFILE[CONTAINERFILE.rindex("FROM") :])
    found |= dict.fromkeys(re.findall(r"(?:^|\s)([A-Z][A-Z0-9_]+)=", block), "Containerfile")
    for options in document(CLUSTER / "aws.yaml")["docker"]["run_options"]:
        found |= dict.fromkeys(re.findall(r"^-e ([A-Z0-9_]+)=", options), "aws.yaml")
    for place, manifest in manifests():
        if manifest["kind"] == "ConfigMap":
            found |= dict.fromkeys(manifest["data"], place)
        for _, pod in pods(manifest):
            found |= {v["name"]: place for c in pod["containers"] for v in c.get("env", ())}
    return found | dict.fromkeys(
        re.findall(r"# ((?:AWS|MLFLOW)_[A-Z0-9_, ]+)", TEXTS["cluster/README.md"])[0].split(", "), "README"
    )


NAMES = environment_names()


@pytest.fixture(scope="module")
def code() -> str:
    """All of the project's own code."""
    files = [path for folder in ("rssr", "pipelines", "jobs") for path in (ROOT / folder).rglob("*.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_that_a_file_sets_is_read_by_somebody(name: str, code: str) -> None:
    if f'"{name}"' in code or name in READ_BY_PROGRAMS:
        return
    if name in READ_BY_PACKAGES:
        place = READ_BY_PACKAGES[name]
        assert not place or name in (SITE / place).read_text(encoding="utf-8")
        return
    used = re.compile(rf"\$\{{?{name}\b")  # by another file, in place of a value
    assert (
        any(used.search(text) for text in TEXTS.values())
        or f"environment: {name}" in TEXTS["cluster/compose/compose.yaml"]
    )


def test_many_variables_are_looked_at() -> None:
    assert len(NAMES) > 25
    assert {ENVIRONMENT_VARIABLE, "RSSR_API_KEYS", "AWS_ENDPOINT_URL_S3", "RSSR_GIT_COMMIT"} <= NAMES.keys()


def test_secrets_that_compose_asks_for_are_those_that_the_example_lists() -> None:
    text = "\n".join(
        text for name, text in TEXTS.items() if name.startswith("cluster/compose/") and name.endswith(".yaml")
    )
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", text)) | {value["environment"] for value in COMPOSE["secrets"].values()}
    listed = set(re.findall(r"^(\w+)=", TEXTS["cluster/compose/env.example"], re.M))
    assert asked == listed


def test_the_dashboard_that_grafana_shows_comes_from_its_data_source() -> None:
    (source,) = document(CLUSTER / "compose" / "grafana" / "datasources.yaml")["datasources"]
    assert (source["uid"], source["name"]) == ("prometheus", "Prometheus")
    ports: Manifest = COMPOSE["services"]
    assert source["url"] == "http://prometheus:9090"
    assert any(str(port).endswith(":9090") for port in ports["prometheus"]["ports"])
    constants: Any = (SITE / "ray/dashboard/modules/metrics/metrics_head.py").read_text(encoding="utf-8")
    assert 'DEFAULT_PROMETHEUS_NAME = "Prometheus"' in constants

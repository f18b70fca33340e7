"""What the RayService's manifest deploys is the service: it answers, asks for keys, and runs archives."""

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cluster.write_service import MANIFEST
from rssr.plain_yaml import read_yaml, write_yaml
from rssr.service_keys import key_line, new_key
from tests.cluster.files import document
from tests.conftest import free_port
from tests.jobs.running import ROOT, environment
from tests.pipelines.bulk.imagery import png
from tests.pipelines.serving.http.live import Answer, Live

_PATIENCE_S = 280.0
KEY = new_key()
NAME = "manifest"
BOUNDARY = "some-boundary"


def on_this_machine(folder: Path, address: str) -> dict[str, Any]:
    """The manifest's settings with places of this machine, no GPUs, and bicubic for registered models."""
    config: dict[str, Any] = read_yaml(document(MANIFEST)["spec"]["serveConfigV2"])
    (application,) = config["applications"]
    settings = application["args"]
    for model in settings["models"]:
        assert model["source"] == "bicubic" or model["source"].startswith("models:/")
        model["source"] = "bicubic"
        model["replica"] |= {"num_cpus": 0, "num_gpus": 0}
        model["scaling"]["max_replicas"] = 1
    (folder / "keys").write_text(key_line("tests", KEY))
    settings["security"] |= {"keys_file": str(folder / "keys"), "read_places": [], "write_places": []}
    settings["archives"] |= {"num_cpus": 0, "num_workers": 1, "max_running": 1}
    settings["archives"]["worker"] |= {"num_cpus": 1, "num_gpus": 0, "num_threads": 1}
    settings["output"] = {"uri": str(folder / "state")}
    settings["mlflow"] |= {"tracking_uri": f"sqlite:///{folder / 'mlflow.db'}"}
    assert settings["ray"]["address"] == "auto"
    settings["ray"]["address"] = address  # other clusters of these tests may run on this machine
    application |= {"name": NAME, "route_prefix": f"/{NAME}"}
    config["http_options"] |= {"host": "127.0.0.1", "port": free_port()}
    return config


@pytest.fixture(scope="module")
def service(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The service, deployed as KubeRay does it, on a cluster where other tests may serve as well."""
    from ray import serve
    from ray.serve.context import _get_global_client

    folder = tmp_path_factory.mktemp("service")
    is_served = _get_global_client(raise_if_no_controller_running=False) is not None
    file = folder / "serve_config.yaml"
    file.write_text(write_yaml(on_this_machine(folder, ray_cluster)), encoding="utf-8")
    program = Path(sys.executable).with_name("serve")
    command = [str(program), "run", str(file), "--non-blocking", "--address", ray_cluster]
    access = {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")}
    variables = environment({"PYTHONPATH": str(ROOT), **access})
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, cwd=ROOT, env=variables, check=False
        )
        assert done.returncode == 0, done.stderr
        yield Live(_get_global_client().http_config.port)
    finally:
        serve.delete(NAME)
        if not is_served:
            serve.shutdown()  # it would keep its address, and others' services have theirs


def ask(service: Live, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    return service.ask(method, f"/{NAME}{path}", body, authorization=f"Bearer {KEY}", **headers)


def test_it_becomes_ready(service: Live) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    answer = None
    while answer is None or answer.status != 200:
        assert time.monotonic() < deadline_s, answer
        with suppress(TimeoutError):
            answer = service.ask("GET", f"/{NAME}/readyz")
        time.sleep(0.5)
    assert answer.document["models"] == {"slimdiffsr-x4": "ready", "ldcsr": "idle", "bicubic": "ready"}


def test_it_answers_those_who_have_a_key(service: Live) -> None:
    answer = ask(service, "POST", "/v1/super-resolve?scale=2&model=bicubic", png())
    assert (answer.status, answer.headers["x-rssr-model"]) == (200, "bicubic")
    assert service.ask("POST", f"/{NAME}/v1/super-resolve", png()).slug == "unauthorized"


def test_the_first_model_is_taken_where_none_is_named(service: Live) -> None:
    answer = ask(service, "POST", "/v1/super-resolve", png())
    assert (answer.status, answer.headers["x-rssr-model"]) == (200, "slimdiffsr-x4")


def test_prometheus_needs_a_key(service: Live) -> None:
    assert b"rssr_requests_total" in ask(service, "GET", "/metrics").body
    assert service.ask("GET", f"/{NAME}/metrics").status == 401


def test_archives_are_run_by_workers_of_the_cluster(service: Live) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("scene.png", png())
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="archive"; filename="scenes.zip"\r\n\r\n'
    scale = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="scale"\r\n\r\n2\r\n'
    body = scale.encode() + head.encode() + packed.getvalue() + f"\r\n--{BOUNDARY}--\r\n".encode()
    made = ask(service, "POST", "/v1/archives", body, content_type=f"multipart/form-data; boundary={BOUNDARY}")
    assert made.status == 201, made.body
    archive_id = made.document["id"]
    deadline_s = time.monotonic() + _PATIENCE_S
    while (found := ask(service, "GET", f"/v1/archives/{archive_id}").document)["ended_at"] is None:
        assert time.monotonic() < deadline_s, found
        time.sleep(0.5)
    assert found["state"] == "completed", json.dumps(found)

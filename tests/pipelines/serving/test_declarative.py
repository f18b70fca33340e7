"""The settings as a config file of Ray Serve: what it names is the same service."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from ray.serve.schema import ServeDeploySchema

from pipelines.serving.config import ServeConfig
from pipelines.serving.declarative import serve_schema
from pipelines.serving.security.keys import KEYS_VARIABLE
from rssr.plain_yaml import read_yaml, write_yaml
from rssr.service_keys import key_line, new_key
from tests.jobs.running import ROOT, environment, run_job_here
from tests.pipelines.bulk.imagery import png
from tests.pipelines.serving.conftest import Serving
from tests.pipelines.serving.http.live import Answer

_PATIENCE_S = 280.0
PRESET = ROOT / "jobs" / "presets" / "quickstart" / "serve.yaml"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The file that the job writes."""
    target = tmp_path / "serve_config.yaml"
    done = run_job_here(
        f"write_config={target}",
        f"output={tmp_path / 'state'}",
        "models.bicubic.replica={num_cpus: 0}",
        "models.bicubic.scaling={min_replicas: 0, max_replicas: 1}",
        preset=PRESET,
        job="serve",
    )
    assert done.status == 0, done.err
    assert f"serve deploy {target}" in done.out
    return target


def test_the_file_says_what_the_job_would_do(written: Path, tmp_path: Path) -> None:
    schema = ServeDeploySchema.model_validate(read_yaml(written.read_text()))
    (application,) = schema.applications
    settings = ServeConfig.model_validate(application.args)
    assert settings.output.uri == str(tmp_path / "state")
    assert settings.served[0].replica.num_cpus == 0
    assert (schema.http_options.host, schema.http_options.port) == ("127.0.0.1", 8000)
    assert application.import_path == "pipelines.serving.application:build"


def test_ray_serve_deploys_the_file_and_asks_for_the_keys_of_its_environment(
    serving: Serving, ray_cluster: str, written: Path
) -> None:
    key = new_key()
    values = read_yaml(written.read_text())
    values["http_options"]["port"] = serving.config.port  # of the proxy that this cluster has already
    variables = {KEYS_VARIABLE: key_line("anna", key)}
    values["applications"][0] |= {
        "name": "declared",
        "route_prefix": "/declared",
        "runtime_env": {"env_vars": variables},
    }
    written.write_text(write_yaml(values))
    program = Path(sys.executable).with_name("serve")
    command = [str(program), "run", str(written), "--non-blocking", "--address", ray_cluster]
    access = {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")}
    surroundings = environment({"PYTHONPATH": str(ROOT), **access})
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, cwd=ROOT, env=surroundings, check=False
        )
        assert done.returncode == 0, done.stderr
        idle = ready(serving, "/declared/readyz")
        assert idle.document == {"status": "ready", "models": {"bicubic": "idle"}}
        path, authorization = "/declared/v1/super-resolve?scale=2", f"Bearer {key}"
        assert serving.live.ask("POST", path, png()).slug == "unauthorized"
        answer = serving.live.ask("POST", path, png(), authorization=authorization)  # which a replica wakes up for
        assert (answer.status, answer.headers["x-rssr-model"]) == (200, "bicubic")
        assert serving.live.ask("GET", "/declared/v1/nothing", authorization=authorization).slug == "not-found"
    finally:
        from ray import serve

        serve.delete("declared")


def ready(serving: Serving, path: str) -> Answer:
    """What a service says once it is ready: one that is deployed by its file finds its models afterwards."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(TimeoutError):  # its replicas are not there yet
            if (answer := serving.live.ask("GET", path)).status == 200:
                return answer
        time.sleep(0.5)
    raise AssertionError(f"{path} does not become ready")


def test_what_only_the_job_needs_is_left_out() -> None:
    (application,) = serve_schema(ServeConfig())["applications"]
    assert not {"wait", "write_config"} & application["args"].keys()


def test_archives_find_their_workers_on_the_cluster_that_serves_and_wait_where_it_grows() -> None:
    config = ServeConfig.model_validate({"ray": {"address": "laptop:6379", "num_cpus": 2, "may_grow": True}})
    (application,) = serve_schema(config)["applications"]
    assert application["args"]["ray"] == {"address": "auto", "may_grow": True}
    assert ServeConfig.model_validate(application["args"]).ray.may_grow


def test_a_file_may_name_keys_that_only_the_cluster_has(tmp_path: Path) -> None:
    target = tmp_path / "serve_config.yaml"
    keys = "security.keys_file=/etc/rssr/keys/keys"
    done = run_job_here(
        f"write_config={target}", "host=0.0.0.0", keys, f"output={tmp_path}", preset=PRESET, job="serve"
    )
    assert done.status == 0, done.err
    (application,) = read_yaml(target.read_text())["applications"]
    assert application["args"]["security"]["keys_file"] == "/etc/rssr/keys/keys"

import socket
import time

import pytest

from pipelines.cluster import (
    RayConfig,
    cluster_address,
    inside_ray_job,
    ray_session,
    require_answer,
    require_durable_output,
    require_room,
    require_room_on_cluster,
)
from rssr.errors import ConfigError, UserError
from tests.conftest import free_port

JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
RELATIVE = ["runs", "./runs", "../runs", ".", "file://runs/a"]
DURABLE = ["/data/runs", "file:///data/runs", "s3://bucket/runs", "gs://bucket", "~/runs"]


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JOB_VARIABLE, '{"job_config": {}}')


def test_the_variable_is_the_one_this_ray_sets_for_submitted_jobs() -> None:
    from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR

    assert RAY_JOB_CONFIG_JSON_ENV_VAR == JOB_VARIABLE


@pytest.mark.usefixtures("submitted")
@pytest.mark.parametrize("uri", RELATIVE)
def test_a_submitted_job_refuses_a_relative_output_and_says_what_to_write(uri: str) -> None:
    assert inside_ray_job()
    with pytest.raises(ConfigError, match=r"output\.uri") as caught:
        require_durable_output(uri)
    assert "s3://" in str(caught.value)


@pytest.mark.usefixtures("submitted")
@pytest.mark.parametrize("uri", DURABLE)
def test_a_submitted_job_takes_absolute_paths_and_uris(uri: str) -> None:
    require_durable_output(uri)


@pytest.mark.parametrize("uri", RELATIVE + DURABLE)
def test_elsewhere_any_output_is_taken(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JOB_VARIABLE, raising=False)
    assert not inside_ray_job()
    require_durable_output(uri)


def test_where_ray_is_not_needed_it_is_not_started() -> None:
    import ray

    started = ray.is_initialized()
    with ray_session(RayConfig(address="nowhere:1"), needed=False):
        assert ray.is_initialized() == started


def test_a_session_inside_a_session_leaves_the_outer_one_alone(ray_cluster: str) -> None:
    import ray

    with ray_session(RayConfig(address="nowhere:1")):
        assert ray.get_runtime_context().gcs_address == ray_cluster
    assert ray.is_initialized()


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_does_not_answer_is_named_within_seconds(scheme: str) -> None:
    address = f"{scheme}127.0.0.1:{free_port()}"
    started_s = time.monotonic()
    with pytest.raises(UserError, match=f"No Ray cluster answers at {address}"):
        require_answer(address)
    assert time.monotonic() - started_s < 10


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:", ":6379"])
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(UserError, match="HOST:PORT"):
        require_answer(address)


def test_a_listening_port_is_an_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        require_answer(f"127.0.0.1:{server.getsockname()[1]}")
    for found_by_ray in ("auto", "local"):
        require_answer(found_by_ray)


def test_the_configured_cluster_comes_before_the_environments_and_a_local_one_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(JOB_VARIABLE, raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert cluster_address(RayConfig()) == "local"
    monkeypatch.setenv(JOB_VARIABLE, "{}")
    assert cluster_address(RayConfig()) == "auto"
    monkeypatch.setenv("RAY_ADDRESS", "there:6379")
    assert cluster_address(RayConfig()) == "there:6379"
    assert cluster_address(RayConfig(address="here:6379")) == "here:6379"


def test_more_workers_than_a_local_instance_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv(JOB_VARIABLE, raising=False)
    local = RayConfig(num_cpus=4)
    require_room(local, num_workers=2, num_cpus=2, num_gpus=0)
    with pytest.raises(ConfigError, match=r"needs 6 CPU cores.*has 4"):
        require_room(local, num_workers=3, num_cpus=2, num_gpus=0)
    with pytest.raises(ConfigError, match="needs 1000 GPUs"):
        require_room(local, num_workers=1, num_cpus=1, num_gpus=1000)
    require_room(local, num_workers=0, num_cpus=8, num_gpus=0)
    with pytest.raises(ConfigError, match=r"worker.num_gpus is 1000, but this machine has \d+ GPUs"):
        require_room(local, num_workers=0, num_cpus=1, num_gpus=1000)
    require_room(RayConfig(address="elsewhere:6379"), num_workers=100, num_cpus=8, num_gpus=8)


def test_more_workers_than_a_running_cluster_holds_are_refused_unless_it_grows(ray_cluster: str) -> None:
    require_room_on_cluster(RayConfig(), num_workers=1, num_cpus=1, num_gpus=0)
    with pytest.raises(ConfigError, match=r"needs 64 GPUs, but the Ray cluster has 0.*num_workers=\[1,8\]"):
        require_room_on_cluster(RayConfig(), num_workers=8, num_cpus=0.1, num_gpus=8)
    require_room_on_cluster(RayConfig(may_grow=True), num_workers=8, num_cpus=1, num_gpus=8)
    require_room_on_cluster(RayConfig(), num_workers=0, num_cpus=1, num_gpus=8)

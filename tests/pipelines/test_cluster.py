import pytest

from pipelines.cluster import RayConfig, inside_ray_job, ray_session, require_durable_output
from rssr.errors import ConfigError

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

import pytest

from pipelines.cluster_errors import explain_failure
from rssr.errors import ExitCode

ADDRESS = "10.0.0.1:6379"


def test_other_versions_are_named_on_both_sides() -> None:
    """Ray's own comparison, with what a cluster of another version would say of itself."""
    import ray
    from ray._private.utils import check_version_info

    with pytest.raises(RuntimeError, match="Version mismatch") as caught:
        check_version_info({"ray_version": "2.49.1", "python_version": "3.12.3"}, "node 10.0.0.2")
    error = explain_failure(ADDRESS, caught.value)
    assert error.exit_code is ExitCode.BAD_INPUT
    assert f"{ADDRESS} runs Ray 2.49.1 on Python 3.12.3, this process Ray {ray.__version__} on Python" in str(error)
    assert "ray[train,data,serve]==2.49.1" in error.remedy
    assert "\n" not in str(error)


def test_a_missing_token_says_what_to_set() -> None:
    from ray.exceptions import AuthenticationError

    error = explain_failure(ADDRESS, AuthenticationError("Token authentication is enabled but no token was found"))
    assert "asks for a token" in error.problem
    assert "RAY_AUTH_TOKEN" in error.remedy


def test_no_connection_is_no_answer() -> None:
    error = explain_failure(ADDRESS, ConnectionError("connection\n refused."))
    assert error.problem == f"No Ray cluster answers at {ADDRESS}: connection refused."


def test_what_is_no_matter_of_the_cluster_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="called twice"):
        explain_failure(ADDRESS, RuntimeError("called twice"))

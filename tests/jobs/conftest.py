"""Runs of the smallest job, and a service, that several tests look at."""

import pytest

from tests.conftest import UNTIL_GROUP_ENDS
from tests.jobs.running import Run, run_job
from tests.jobs.serving import Served, serve_job


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The smallest job, in one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    result = run_job("num_workers=0", f"output.uri={folder}")
    assert result.status == 0, result.err
    return Run(folder, result)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """The service with its quickstart's model."""
    return UNTIL_GROUP_ENDS.enter_context(serve_job(tmp_path_factory.mktemp("served")))

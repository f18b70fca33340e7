"""Runs of the smallest job that several tests look at."""

import pytest

from tests.jobs.running import Run, run_job


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The smallest job, in one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    result = run_job("num_workers=0", f"output.uri={folder}")
    assert result.status == 0, result.err
    return Run(folder, result)

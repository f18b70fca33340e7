"""What is told of training that a machine's memory did not hold."""

import pytest
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.train import TrainingFailedError
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from pipelines.train.trainer import memory_ran_out


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (ControllerError(OutOfMemoryError("7 workers were killed")), True),
        (WorkerGroupError("one died", {0: RayActorError(), 1: OutOfMemoryError("killed")}), True),
        (WorkerGroupError("one died", {0: RayActorError()}), False),
        (ControllerError(RuntimeError("memory")), False),
    ],
)
def test_workers_that_ray_ended_for_want_of_memory_are_told_from_others(
    error: TrainingFailedError, is_memory: bool
) -> None:
    assert memory_ran_out(error) == is_memory

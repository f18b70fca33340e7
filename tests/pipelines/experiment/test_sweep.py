"""What is told of a variant that failed; whole sweeps are run in tests/jobs/test_ablations.py."""

import pytest

from pipelines.experiment.sweep import describe_failure
from rssr.errors import TrainingDiverged

WORKER = """Training failed due to worker errors:
[Rank 0 Error Snippet]:
Traceback (most recent call last):
  File "pipelines/train.py", line 152, in train_worker
    _run(task, context, listener)
ValueError: MMD needs at least two samples
"""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TrainingDiverged("Step 3: not finite.", "Lower the rate."), "Step 3: not finite. Lower the rate."),
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (RuntimeError(WORKER), "ValueError: MMD needs at least two samples"),
        (OSError("s3://me:secret@bucket is gone"), "OSError: s3://***@bucket is gone"),
    ],
)
def test_a_failure_is_told_in_one_line(error: Exception, expected: str) -> None:
    assert describe_failure(error) == expected


def test_long_reasons_are_cut() -> None:
    assert len(describe_failure(ValueError("x" * 10_000))) == 500

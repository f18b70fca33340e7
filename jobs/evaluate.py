"""Compare methods on images: models, checkpoints, interpolation and images made elsewhere; one table, one page."""

import sys

from pipelines.entry import run_job
from pipelines.evaluation.config import EvaluateConfig
from pipelines.evaluation.run import run_evaluation


def main() -> int:
    """Run the job; returns its exit status."""
    about = __doc__ or ""
    return run_job(EvaluateConfig, run_evaluation, "quickstart/evaluate.yaml", about)


if __name__ == "__main__":
    sys.exit(main())

"""Compare methods on images: models, checkpoints, interpolation and images made elsewhere; one table, one page."""

import sys

from pipelines.entry import run_job
from pipelines.evaluation.config import EvaluateConfig
from pipelines.evaluation.run import run_evaluation
from rssr.metrics import describe_metrics


def main() -> int:
    """Run the job; returns its exit status."""
    about = f"{__doc__}\n\nMetrics:\n\n{describe_metrics()}"
    return run_job(EvaluateConfig, run_evaluation, "quickstart/evaluate.yaml", about)


if __name__ == "__main__":
    sys.exit(main())

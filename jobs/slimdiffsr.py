"""Train SlimDiffSR, evaluate it, register it, and super-resolve a scene with it."""

import sys

from pipelines.entry import run_job
from pipelines.experiment.slimdiffsr import SlimDiffSRJobConfig, run_slimdiffsr


def main() -> int:
    """Run the job; returns its exit status."""
    about = __doc__ or ""
    return run_job(SlimDiffSRJobConfig, run_slimdiffsr, "quickstart/slimdiffsr.yaml", about)


if __name__ == "__main__":
    sys.exit(main())

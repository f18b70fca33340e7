"""Train LCMSR, evaluate it at several scales, register it, and super-resolve a scene with it."""

import sys

from pipelines.entry import run_job
from pipelines.experiment.lcmsr import LCMSRJobConfig, run_lcmsr


def main() -> int:
    """Run the job; returns its exit status."""
    about = __doc__ or ""
    return run_job(LCMSRJobConfig, run_lcmsr, "quickstart/lcmsr.yaml", about)


if __name__ == "__main__":
    sys.exit(main())

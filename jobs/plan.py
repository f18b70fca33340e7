"""Tell what a bulk run would take before it is started: scenes, tiles, bytes, disk, hours and money, by workers.

Takes the arguments of jobs/bulk.py and `plan`. How fast a worker is is measured on this machine the first time, in
about a minute. Exit status 4 where the run would exceed plan.budget, plan.max_hours or plan.disk_bytes.

With training.preset=NAME it tells the same of a training run, by GPUs, and which of arithmetic, memory, network, CPU
cores and store is its limit.
"""

import sys

from pipelines.entry import run_job
from pipelines.estimate.config import PlanConfig
from pipelines.estimate.run import run_plan


def main() -> int:
    """Run the job; returns its exit status."""
    about = __doc__ or ""
    return run_job(PlanConfig, run_plan, "quickstart/bulk.yaml", about)


if __name__ == "__main__":
    sys.exit(main())

"""Super-resolve an archive: every scene once, resumable, with a ledger, layers beside each product and a report."""

import sys

from pipelines.bulk.config import BulkConfig
from pipelines.bulk.run import run_bulk
from pipelines.entry import run_job


def main() -> int:
    """Run the job; returns its exit status."""
    return run_job(BulkConfig, run_bulk, "quickstart/bulk.yaml", str(__doc__))


if __name__ == "__main__":
    sys.exit(main())

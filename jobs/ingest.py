"""Turn a raw dataset into Parquet shards, report what is corrupt or there twice, and show HR/LR pairs."""

import sys

from pipelines.entry import run_job
from pipelines.ingest.config import IngestConfig
from pipelines.ingest.run import run_ingest


def main() -> int:
    """Run the job; returns its exit status."""
    about = __doc__ or ""
    return run_job(IngestConfig, run_ingest, "quickstart/ingest.yaml", about)


if __name__ == "__main__":
    sys.exit(main())

"""Serve models over HTTP: single images, whole archives, and a page to try both."""

import sys

from pipelines.entry import run_job
from pipelines.serving.config import ServeConfig
from pipelines.serving.deploy import run_serve


def main() -> int:
    """Run the job; returns its exit status."""
    return run_job(ServeConfig, run_serve, "quickstart/serve.yaml", str(__doc__))


if __name__ == "__main__":
    sys.exit(main())

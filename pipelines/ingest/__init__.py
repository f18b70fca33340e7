"""Raw datasets to Parquet shards: streaming from and to object storage, resumable, with duplicates reported."""

from pipelines.ingest.config import IngestConfig
from pipelines.ingest.run import run_ingest

__all__ = ["IngestConfig", "run_ingest"]

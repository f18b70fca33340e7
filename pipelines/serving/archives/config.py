"""What the archive runner is configured by."""

from pydantic import Field

from pipelines.bulk.config import BulkWorkerConfig
from rssr.configuration import Config


class ArchivesConfig(Config):
    """How whole archives are run, and how many at a time."""

    num_workers: int = Field(default=0, ge=0)
    """Ray actors that work on one archive; 0 computes in the archive's own process beside the runner."""
    worker: BulkWorkerConfig = BulkWorkerConfig()
    """Resources of one worker."""
    niceness: int = Field(default=10, ge=0, le=19)
    """By how much an archive's own process stands back behind requests that somebody waits for, as `nice` counts."""
    num_cpus: float = Field(default=0, ge=0)
    """CPU cores that the runner reserves on its node; archives without workers use up to max_running of them."""
    max_running: int = Field(default=1, ge=1)
    """Archives that run at a time."""
    max_running_per_caller: int = Field(default=1, ge=1)
    """The same of one caller."""
    max_queued: int = Field(default=1000, ge=1)
    """Archives that wait; above that all callers are told to come back later."""
    max_queued_per_caller: int = Field(default=100, ge=1)
    """The same of one caller."""
    max_attempts: int = Field(default=3, ge=1)
    """How often one archive is tried when its process dies or its storage cannot be reached."""
    retry_s: float = Field(default=5.0, ge=0)
    """Pause before the second attempt, seconds; doubled before each further one."""
    keep_uploads_s: float = Field(default=0.0, ge=0)
    """How long an uploaded archive is kept after its run has ended, seconds."""
    keep_days: float | None = Field(default=30.0, gt=0)
    """How long an archive is kept after it has ended, days: then it is removed, with its record, its upload and the
    products that the service keeps for download. What lies in an output that the caller named is never touched. Null
    keeps everything."""
    poll_s: float = Field(default=0.5, gt=0)
    """Pause between two looks at what runs, seconds."""
    stop_s: float = Field(default=10.0, ge=0)
    """How long a process may take to end after it was told to, before it is killed, seconds."""
    lease_s: float = Field(default=10.0, gt=0)
    """How long a runner leads without a sign of life, seconds; another one elsewhere takes over half as long after."""

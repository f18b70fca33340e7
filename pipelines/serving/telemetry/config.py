"""What the service tells its operator, and in which form."""

from typing import Literal

from pydantic import Field

from rssr.configuration import Config


class TelemetryConfig(Config):
    """Logs and metrics of every process of the service."""

    log_format: Literal["json", "text"] = "json"
    """One JSON object a line, for machines; or text, for people at a terminal."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity of what is logged. Probes of health and metrics are logged at debug."""
    log_folder: str | None = None
    """Folder in which each process writes a file of its own, on its own machine; null is standard error, which Ray
    keeps among the logs of its workers."""
    log_file_bytes: int = Field(default=64 * 2**20, ge=2**16)
    """Size at which a file of log_folder is set aside and another begun, bytes; three old ones are kept."""
    metrics_interval_s: float = Field(default=1.0, gt=0, le=60)
    """How often a process tells what it has counted, seconds: /metrics lags by no more, and a process that is killed
    loses no more."""

"""Settings of experiment tracking, the same for every job (key `mlflow`)."""

from pydantic import Field

from rssr.configuration import Config


class TrackingConfig(Config):
    """Where runs, metrics and registered models are kept."""

    tracking_uri: str | None = None
    """MLflow server (`http://host:5000`) or database (`sqlite:////folder/mlflow.db`, `postgresql://...`).
    None takes MLFLOW_TRACKING_URI from the environment, and without it a SQLite file below `output.uri`."""

    experiment: str = Field(default="rssr", min_length=1, max_length=500)
    """MLflow experiment that the runs belong to; created where it does not exist."""

    system_metrics: bool = True
    """Record CPU, memory, disk, network and GPU use of the driver's machine with the main run."""

    system_metrics_interval_s: float = Field(default=10.0, gt=0)
    """Seconds between two samples of the system metrics."""

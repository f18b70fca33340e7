"""What the archive runner counts, in whichever process it comes to run."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.serving.telemetry.config import TelemetryConfig
from pipelines.serving.telemetry.exposition import start_reporting
from pipelines.serving.telemetry.logs import configure_logs
from pipelines.serving.telemetry.metrics import ServiceMetrics, service_metrics


@dataclass(frozen=True)
class CountedArchives:
    """Counters of archives that can be sent to another process, whose logs and counts begin with the first of them.

    Attributes:
        config: Of logs and counts.
        service: Whose archives they are, see `gatherer_name`.
    """

    config: TelemetryConfig
    service: str

    def archives_are(self, by_state: Mapping[str, int]) -> None:
        """So many archives there are, by state."""
        _begun(self.config, self.service).archives_are(by_state)

    def archive_scenes_done(self, outcome: str, number: int = 1) -> None:
        """So many more scenes of archives have ended like this."""
        _begun(self.config, self.service).archive_scenes_done(outcome, number)


@functools.cache
def _begun(config: TelemetryConfig, service: str) -> ServiceMetrics:
    configure_logs(config, "archives")
    start_reporting(config.metrics_interval_s, service)
    return service_metrics()

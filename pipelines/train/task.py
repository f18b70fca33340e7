"""What a phase's training is told: plain values that travel to any process."""

from dataclasses import dataclass
from typing import Any

from pipelines.calibration import CalibrationSpec
from pipelines.phase_records import PhaseFolder
from pipelines.storage import open_store


@dataclass(frozen=True)
class TrainTask:
    """One phase to train, as plain values.

    Attributes:
        method: Method name.
        method_values: Its configuration, see `Method.dump`.
        phase: Phase name.
        digests: Digest of this phase and of those it builds on, by phase name.
        home_uri: Root of everything durable, absolute.
        manifest_key: Where the manifest lies below it.
        data_values: The data configuration.
        seed: Seed of the experiment.
        workers: Fewest and most training workers; none at least means this process, without Ray.
        num_threads: CPU threads a worker.
        num_held_out: Held-out patches a validation measures.
        calibration_values: How the evaluation prepares images, for phases that are fitted to held-out ones.
        tracking_uri: MLflow store, or None for none.
        run_id: The phase's MLflow run.
        system_metrics_interval_s: Pause between samples of the use of nodes other than the driver's; None takes none.
        batch_size_counts: Workers whose pairs the typed `batch_size` counts, for advice in its words.
        run_started_s: When the run was begun, seconds of the epoch; numbers those samples.
    """

    method: str
    method_values: dict[str, Any]
    phase: str
    digests: dict[str, str]
    home_uri: str
    manifest_key: str
    data_values: dict[str, Any]
    seed: int
    workers: tuple[int, int]
    num_threads: int
    num_held_out: int
    tracking_uri: str | None
    run_id: str | None
    calibration_values: dict[str, Any] | None = None
    system_metrics_interval_s: float | None = None
    batch_size_counts: int = 1
    run_started_s: float = 0.0

    @property
    def is_in_process(self) -> bool:
        """Whether the phase is trained in the driver's process, without Ray."""
        return self.workers[0] == 0

    @property
    def num_shares(self) -> int:
        """Parts of every micro-batch: one for each of the most workers, and more for each of fewer."""
        return max(self.workers[1], 1)

    @property
    def calibration(self) -> CalibrationSpec | None:
        """How held-out images are prepared, for those phases alone."""
        return None if self.calibration_values is None else CalibrationSpec(**self.calibration_values)

    def folder(self, phase: str) -> PhaseFolder:
        """A phase's place in the output."""
        return PhaseFolder(open_store(self.home_uri), phase, self.digests[phase])


@dataclass(frozen=True)
class WorkerResources:
    """What Ray reserves for a training worker, and how often it restarts a lost one."""

    num_cpus: float
    num_gpus: float
    max_failures: int

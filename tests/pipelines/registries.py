"""A model registry of its own for a test: a real SQLite store, and models that need no training."""

from pathlib import Path

from pipelines.tracking import ModelVersion, Run, TrackingConfig, open_tracker, register_model
from pipelines.tracking.registry import find_alias
from rssr.models.registry import create_model
from rssr.weights.folder import save_model_folder
from tests.jobs.running import with_store


class Registry:
    """A store in which models of one name are registered and evaluated."""

    name = "model-x4"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tracker = open_tracker(TrackingConfig(system_metrics=False), str(with_store(folder)))
        self.uri = self._tracker.tracking_uri

    def register(self, note: str) -> ModelVersion:
        """Another version, which is `candidate` from then on."""
        folder = self.folder / note
        save_model_folder(folder, "bicubic", {}, create_model("bicubic"), None, {"notes.txt": note.encode()})
        with self.run(note) as run:
            return register_model(folder, self.name, run)

    def run(self, key: str) -> Run:
        """An open run."""
        return self._tracker.open_run(key, key)

    def champion(self) -> int | None:
        """Number of the version that has the alias."""
        found = find_alias(self.uri, self.name, "champion")
        return None if found is None else found.version

"""Models by name, folder or registered alias: found, copied into an output, and loaded by any process anywhere."""

import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipelines.storage import StorageSettings, Store, open_store, redact
from pipelines.storage.cache import cache_folder
from pipelines.tracking import TrackingConfig, TrackingError, fetch_model_version, resolve_tracking
from pipelines.tracking.location import ENVIRONMENT_VARIABLE
from pipelines.tracking.model_source import find_registered_model
from pipelines.tracking.registry import folder_digest
from rssr.errors import ModelError
from rssr.inference.chosen_model import checked_device
from rssr.models.loaded import LoadedModel, find_model_folder, load_model

BUILT_IN = "bicubic"
"""The one model that is code alone."""

_REGISTRY = "models:"
_USUAL_OUTPUT = "runs"  # of the jobs that train models
_KEY_LENGTH = 32


@dataclass(frozen=True)
class ModelSource:
    """Where a model is loaded from; travels to workers.

    Attributes:
        name: As configured, an alias resolved to its version, e.g. `models:/ldcsr/3`.
        digest: Of its folder; empty for `bicubic`.
        folder: Where it lies on the machine that found it; empty for `bicubic`.
        copy_uri: Its copy in an output, once `store_model` has made it; empty for `bicubic`.
        settings: How to reach the copy; None reads the environment.
    """

    name: str
    digest: str = ""
    folder: str = ""
    copy_uri: str = ""
    settings: StorageSettings | None = None

    @property
    def is_interpolation(self) -> bool:
        """Whether it has no network: PyTorch is not needed, and a window is computed as fast as it would be read."""
        return self.name == BUILT_IN

    def load(self, device: str = "cpu") -> LoadedModel:
        """The model on a device; each process loads it once.

        Raises:
            ModelError: The copy is damaged, or there is no such device.
            StorageError: The copy cannot be read.
            WeightsError: The weights do not fit.
        """
        return _loaded(self, device)

    def load_anew(self, device: str = "cpu") -> LoadedModel:
        """The same, and nothing keeps it but the caller: processes that change models would hold the old ones.

        Raises:
            ModelError: See `load`; likewise StorageError and WeightsError.
        """
        if self.is_interpolation:
            return load_model(BUILT_IN)
        checked = checked_device(device)
        folder = Path(self.folder) if self.folder else None
        if folder is None or not folder.is_dir() or folder_digest(folder) != self.digest:
            folder = fetch_copy(self)
        return load_model(folder, checked)


@dataclass(frozen=True)
class LocatedModel:
    """A model on this machine.

    Attributes:
        name: As configured, an alias resolved to its version.
        folder: Where it lies; None for `bicubic`.
        digest: Of its folder, where that is known without reading it; else empty.
    """

    name: str
    folder: Path | None = None
    digest: str = ""


def locate_model(model: str, mlflow: TrackingConfig) -> LocatedModel:
    """Find a model and fetch it to this machine, unless it is there.

    Args:
        model: A name, a model folder, a URI, or a registered model such as `models:/ldcsr@champion`.
        mlflow: Where registered ones are looked up.

    Raises:
        ModelError: There is no such model.
        TrackingError: The store of registered models does not answer, or there is none.
        StorageError: The model's folder cannot be fetched.
    """
    if model == BUILT_IN:
        return LocatedModel(BUILT_IN)
    if not model.startswith(_REGISTRY):
        return LocatedModel(model, find_model_folder(model))
    location = resolve_tracking(mlflow, _USUAL_OUTPUT)
    try:
        version = find_registered_model(model, location.tracking_uri)
        return LocatedModel(version.uri, fetch_model_version(location.tracking_uri, version), version.digest)
    except (ModelError, TrackingError) as error:
        if mlflow.tracking_uri or os.environ.get(ENVIRONMENT_VARIABLE):
            raise
        raise type(error)(
            f"{error.problem} It was looked for in {redact(location.tracking_uri)}, where jobs keep models by default.",
            f"Set mlflow.tracking_uri or {ENVIRONMENT_VARIABLE} to the store that holds it. {error.remedy}".strip(),
        ) from None


def copy_key(folder_key: str, digest: str) -> str:
    """Where below an output's folder of models a copy lies."""
    return f"{folder_key}/{digest[:_KEY_LENGTH]}"


def store_model(source: ModelSource, output: Store, folder_key: str) -> None:
    """Copy a model into an output, unless all of it is there.

    Args:
        source: The model, which lies on this machine.
        output: Where to.
        folder_key: The output's folder of models.

    Raises:
        StorageError: The output refuses.
    """
    if not source.folder:
        return
    folder, key = Path(source.folder), copy_key(folder_key, source.digest)
    files = [path for path in folder.rglob("*") if path.is_file()]
    wanted = {f"{key}/{path.relative_to(folder).as_posix()}": path.stat().st_size for path in files}
    if {entry.key: entry.num_bytes for entry in output.list(key)} != wanted:
        output.upload_folder(folder, key)


def fetch_copy(source: ModelSource) -> Path:
    """The copy in an output on this machine, checked; kept by content, as registered models are.

    Raises:
        ModelError: The copy is damaged.
        StorageError: It cannot be read.
    """
    target = cache_folder("models") / source.digest
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as temporary:
        folder = Path(temporary) / "model"
        open_store(source.copy_uri, source.settings).download_folder("", folder)
        if folder_digest(folder) != source.digest:
            raise ModelError(
                f"The copy of {source.name} at {source.copy_uri} is damaged.", "Remove it, and run the command again."
            )
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster with the same content
                raise
    return target


@lru_cache(maxsize=2)
def _loaded(source: ModelSource, device: str) -> LoadedModel:
    return source.load_anew(device)

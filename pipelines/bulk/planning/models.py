"""The model of a run: found once, kept in the output, and loaded by any process on any machine."""

import logging
import os
import re
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipelines.bulk.config import BulkConfig
from pipelines.bulk.records import RunIdentity
from pipelines.storage import ObjectMissing, StorageSettings, Store, open_store, redact
from pipelines.storage.cache import cache_folder
from pipelines.tracking import TrackingError, fetch_model_version, resolve_tracking
from pipelines.tracking.location import ENVIRONMENT_VARIABLE
from pipelines.tracking.model_source import find_registered_model
from pipelines.tracking.registry import REQUIRED_FILE, folder_digest
from rssr.card import ModelCard
from rssr.errors import ModelError
from rssr.inference.chosen_model import checked_device
from rssr.models.loaded import LoadedModel, find_model_folder, load_model
from rssr.plain_yaml import read_yaml
from rssr.weights.folder import CARD_FILE

log = logging.getLogger(__name__)

MODEL_FOLDER = "_run/model"
"""Below an output: the run's model, so that workers elsewhere and later runs find it."""

_BUILT_IN = "bicubic"
_REGISTRY = "models:"
_NAME = re.compile(r"models:/+([^/@]+)[/@].*")
_USUAL_OUTPUT = "runs"  # of the jobs that train models
_KEY_LENGTH = 32


@dataclass(frozen=True)
class ModelSource:
    """Where a model is loaded from; travels to workers.

    Attributes:
        name: As configured, an alias resolved to its version, e.g. `models:/ldcsr/3`.
        digest: Of its folder; empty for `bicubic`.
        folder: Where it lies on the machine that found it; empty for `bicubic`.
        copy_uri: Its copy in the output, once `store_model` has made it; empty for `bicubic`.
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
        return self.name == _BUILT_IN

    def load(self, device: str = "cpu") -> LoadedModel:
        """The model on a device; each process loads it once.

        Raises:
            ModelError: The copy is damaged, or there is no such device.
            StorageError: The copy cannot be read.
            WeightsError: The weights do not fit.
        """
        return _loaded(self, device)


def find_model(
    config: BulkConfig, output: Store, begun: RunIdentity | None, settings: StorageSettings | None
) -> ModelSource:
    """Find the configured model and fetch it.

    A run that has begun goes on with the version that its alias meant then, out of its own copy.

    Args:
        config: Names the model, and where registered ones are looked up.
        output: Of the run.
        begun: The run in the output; None where there is none, or it shall be forgotten.
        settings: How workers reach the output; None reads the environment.

    Raises:
        ModelError: There is no such model.
        TrackingError: The store of registered models does not answer, or there is none.
        StorageError: The model's folder cannot be fetched.
    """
    if config.model == _BUILT_IN:
        return ModelSource(_BUILT_IN)
    name, folder = _pinned(config.model, output, begun, settings) or _found(config)
    digest = folder_digest(folder)
    copy_uri = output.describe(_copy_key(digest))
    return ModelSource(name, digest, str(folder.absolute()), copy_uri, settings)


def store_model(source: ModelSource, output: Store) -> None:
    """Copy a run's model into its output, unless all of it is there.

    Raises:
        StorageError: The output refuses.
    """
    if not source.folder:
        return
    folder, key = Path(source.folder), _copy_key(source.digest)
    files = [path for path in folder.rglob("*") if path.is_file()]
    wanted = {f"{key}/{path.relative_to(folder).as_posix()}": path.stat().st_size for path in files}
    if {entry.key: entry.num_bytes for entry in output.list(key)} != wanted:
        output.upload_folder(folder, key)


def load_card(identity: RunIdentity, output: Store) -> ModelCard | None:
    """The card of a run's model, from the copy in its output; None where it has none."""
    if not identity.model_digest:
        return None
    try:
        data = output.read_bytes(f"{_copy_key(identity.model_digest)}/{CARD_FILE}")
    except ObjectMissing:
        return None
    return ModelCard.model_validate(read_yaml(data.decode()))


def _copy_key(digest: str) -> str:
    return f"{MODEL_FOLDER}/{digest[:_KEY_LENGTH]}"


def _pinned(
    model: str, output: Store, begun: RunIdentity | None, settings: StorageSettings | None
) -> tuple[str, Path] | None:
    """Name and folder of the registered model that a run began with, if that is what is asked for again."""
    asked, held = _NAME.fullmatch(model), _NAME.fullmatch(begun.model) if begun is not None else None
    if begun is None or asked is None or held is None or asked[1] != held[1]:
        return None
    if "@" not in model and model != begun.model:
        return None
    if not output.exists(f"{_copy_key(begun.model_digest)}/{REQUIRED_FILE}"):
        return None
    if model != begun.model:
        log.info("The run goes on with %s, which %s meant when it began.", begun.model, model)
    copy = ModelSource(begun.model, begun.model_digest, "", output.describe(_copy_key(begun.model_digest)), settings)
    return begun.model, _fetched(copy)


def _found(config: BulkConfig) -> tuple[str, Path]:
    if not config.model.startswith(_REGISTRY):
        return config.model, find_model_folder(config.model)
    location = resolve_tracking(config.mlflow, _USUAL_OUTPUT)
    try:
        version = find_registered_model(config.model, location.tracking_uri)
        return version.uri, fetch_model_version(location.tracking_uri, version)
    except (ModelError, TrackingError) as error:
        if config.mlflow.tracking_uri or os.environ.get(ENVIRONMENT_VARIABLE):
            raise
        raise type(error)(
            f"{error.problem} It was looked for in {redact(location.tracking_uri)}, where jobs keep models by default.",
            f"Set mlflow.tracking_uri or {ENVIRONMENT_VARIABLE} to the store that holds it. {error.remedy}".strip(),
        ) from None


@lru_cache(maxsize=2)
def _loaded(source: ModelSource, device: str) -> LoadedModel:
    if source.is_interpolation:
        return load_model(_BUILT_IN)
    checked = checked_device(device)
    folder = Path(source.folder) if source.folder else None
    if folder is None or not folder.is_dir() or folder_digest(folder) != source.digest:
        folder = _fetched(source)
    return load_model(folder, checked)


def _fetched(source: ModelSource) -> Path:
    """The copy in the output on this machine, checked; kept by content, as registered models are."""
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

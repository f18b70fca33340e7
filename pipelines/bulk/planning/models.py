"""The model of a run: found once, kept in the output, and loaded by any process on any machine."""

import logging
import re
from pathlib import Path

from pipelines.bulk.config import BulkConfig
from pipelines.bulk.records import RunIdentity
from pipelines.models import ModelSource, copy_key, fetch_copy, locate_model
from pipelines.models import store_model as store_model_below
from pipelines.storage import ObjectMissing, StorageSettings, Store
from pipelines.tracking.registry import REQUIRED_FILE, folder_digest
from rssr.card import ModelCard
from rssr.plain_yaml import read_yaml
from rssr.weights.folder import CARD_FILE

log = logging.getLogger(__name__)

MODEL_FOLDER = "_run/model"
"""Below an output: the run's model, so that workers elsewhere and later runs find it."""

_NAME = re.compile(r"models:/+([^/@]+)[/@].*")


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
    name, folder = _pinned(config.model, output, begun, settings) or _located(config)
    if folder is None:
        return ModelSource(name)
    digest = folder_digest(folder)
    copy_uri = output.describe(_copy_key(digest))
    return ModelSource(name, digest, str(folder.absolute()), copy_uri, settings)


def store_model(source: ModelSource, output: Store) -> None:
    """Copy a run's model into its output, unless all of it is there.

    Raises:
        StorageError: The output refuses.
    """
    store_model_below(source, output, MODEL_FOLDER)


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
    return copy_key(MODEL_FOLDER, digest)


def _located(config: BulkConfig) -> tuple[str, Path | None]:
    located = locate_model(config.model, config.mlflow)
    return located.name, located.folder


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
    return begun.model, fetch_copy(copy)

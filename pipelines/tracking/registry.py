"""Registered models: folders with a name, versions and the aliases `candidate` and `champion`."""

import hashlib
import logging
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.tracking.connection import MlflowClient, connect
from pipelines.tracking.errors import TrackingError, first_line, is_missing
from pipelines.tracking.run import Run
from pipelines.tracking.secrecy import mask_secrets
from rssr.card import ModelCard
from rssr.errors import ModelError
from rssr.weights.folder import CARD_FILE

_log = logging.getLogger(__name__)

CANDIDATE = "candidate"
CHAMPION = "champion"
DIGEST_TAG = "rssr.folder_sha256"
REQUIRED_FILE = "config.json"
_SCRIPT = Path(__file__).with_name("served_model.py")
_CHUNK_BYTES = 1 << 20
_EXAMPLE_SIDE = 16  # pixels
# What the served script imports. Not `rssr` itself: MLflow would look for it in a public index, where the name
# may be anyone's.
_REQUIREMENTS = ("mlflow", "numpy", "safetensors", "torch")


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model.

    Args:
        name: Registered name.
        version: Number, from 1.
        run_id: Run that made it; empty where unknown.
        digest: `folder_digest` of the model folder; empty for versions made by other means.
    """

    name: str
    version: int
    run_id: str
    digest: str

    @property
    def uri(self) -> str:
        """Address of exactly this version, e.g. `models:/slimdiffsr-x4/3`."""
        return f"models:/{self.name}/{self.version}"


def register_model(
    folder: Path, registered_name: str, run: Run, tags: Mapping[str, str] | None = None, description: str = ""
) -> ModelVersion:
    """Make a model folder a version of a registered model and its `candidate`.

    Registering the same content again gives the version that holds it. The alias `champion` is left alone: who has it
    is a decision of the evaluation.

    Args:
        folder: Model folder: config.json, model.safetensors, card.yaml.
        registered_name: E.g. `slimdiffsr-x4`.
        run: Run that made the model.
        tags: Further tags of the version.
        description: A sentence for readers.

    Raises:
        ModelError: The folder holds no model.
        TrackingError: The store refuses or does not answer.
    """
    if not (folder / REQUIRED_FILE).is_file():
        raise ModelError(f"{folder} is no model folder: it lacks {REQUIRED_FILE}.", "Give the folder that was saved.")
    client = connect(run.tracking_uri, create=False)
    digest = folder_digest(folder)
    try:
        version = _find(client, registered_name, digest)
        if version is None:
            all_tags = {name: mask_secrets(value) for name, value in (tags or {}).items()} | {DIGEST_TAG: digest}
            version = _create(client, folder, registered_name, run.run_id, all_tags, mask_secrets(description))
        client.set_registered_model_alias(registered_name, CANDIDATE, str(version.version))
    except TrackingError:
        raise
    except Exception as error:
        reason = mask_secrets(first_line(error))
        raise TrackingError(
            f"The model '{registered_name}' cannot be registered ({reason}).", "Check the store."
        ) from error
    _log.info("Registered %s (candidate).", version.uri)
    return version


def find_model_version(tracking_uri: str, name: str, alias_or_version: str | int) -> ModelVersion:
    """Look a version up by alias (`champion`) or number.

    Raises:
        ModelError: There is no such model, alias or version.
        TrackingError: The store does not answer.
    """
    client = connect(tracking_uri, create=False)
    text = str(alias_or_version)
    try:
        if text.isdecimal():
            return _to_version(client.get_model_version(name, text))
        found = _by_alias(client, name, text)
    except Exception as error:
        if not is_missing(error):
            raise TrackingError(f"The model registry does not answer ({mask_secrets(first_line(error))}).") from error
        found = None
    if found is None:
        known = ", ".join(registered_names(client)) or "none"
        raise ModelError(
            f"No model '{name}' with version or alias '{text}' is registered.", f"Registered are: {known}."
        )
    return found


def set_alias(tracking_uri: str, version: ModelVersion, alias: str) -> None:
    """Point an alias at a version; who is champion is decided in `pipelines.tracking.champion`."""
    connect(tracking_uri, create=False).set_registered_model_alias(version.name, alias, str(version.version))


def find_alias(tracking_uri: str, name: str, alias: str) -> ModelVersion | None:
    """The version that an alias points at; None where there is none."""
    return _by_alias(connect(tracking_uri, create=False), name, alias)


def tag_version(tracking_uri: str, version: ModelVersion, tags: Mapping[str, str]) -> None:
    """Set or replace tags of a version."""
    client = connect(tracking_uri, create=False)
    for name, value in tags.items():
        client.set_model_version_tag(version.name, str(version.version), name, mask_secrets(value))


def version_tags(tracking_uri: str, version: ModelVersion) -> dict[str, str]:
    """All tags of a version."""
    client = connect(tracking_uri, create=False)
    return dict(client.get_model_version(version.name, str(version.version)).tags or {})


def registered_names(client: MlflowClient) -> list[str]:
    """Names of the registered models, in alphabetical order (a thousand at most)."""
    return sorted(str(model.name) for model in client.search_registered_models(max_results=1000))


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files, whatever their dates."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                content.update(chunk)
        whole.update(f"{path.relative_to(folder).as_posix()}\0{content.hexdigest()}\n".encode())
    return whole.hexdigest()


def _find(client: MlflowClient, name: str, digest: str) -> ModelVersion | None:
    found = client.search_model_versions(f"name = '{name}' and tag.`{DIGEST_TAG}` = '{digest}'")
    return min((_to_version(entry) for entry in found), key=lambda version: version.version, default=None)


def _create(
    client: MlflowClient, folder: Path, name: str, run_id: str, tags: dict[str, str], description: str
) -> ModelVersion:
    _ensure_name(client, name)
    experiment_id = client.get_run(run_id).info.experiment_id
    logged: Any = client.create_logged_model(experiment_id, name=name, source_run_id=run_id, tags=tags)
    try:
        with tempfile.TemporaryDirectory(prefix="rssr-model-") as temporary:
            packed = Path(temporary) / "model"
            _pack(folder, packed, str(logged.model_id), run_id)
            client.log_model_artifacts(logged.model_id, str(packed))
    except Exception:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    # A database's client would look `models:/ID` up in the process's default store, which may be another one.
    is_server = str(client.tracking_uri).startswith("http")
    source = f"models:/{logged.model_id}" if is_server else str(logged.artifact_location)
    made = client.create_model_version(
        name, source=source, run_id=run_id, tags=tags, description=description, model_id=logged.model_id
    )
    return _to_version(made)


def _ensure_name(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except Exception as error:
        if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
            raise


def _pack(folder: Path, target: Path, model_id: str, run_id: str) -> None:
    """Write MLflow's layout: the folder as it is, the serving script, and a description of both."""
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ParamSchema, ParamSpec, Schema, TensorSpec

    pictures = Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, -1))])
    scale = ParamSchema([ParamSpec("scale", "double", 4.0)])
    # MLflow warns in colours that it cannot guess the signature, which it is given; recorded, nothing is shown.
    with warnings.catch_warnings(record=True):
        mlflow.pyfunc.save_model(
            path=str(target),
            python_model=str(_SCRIPT),
            artifacts={"model": str(folder)},
            signature=ModelSignature(inputs=pictures, outputs=pictures, params=scale),
            input_example=_example(folder),
            pip_requirements=list(_REQUIREMENTS),
            mlflow_model=Model(model_id=model_id, run_id=run_id),
        )


def _example(folder: Path) -> NDArray[np.uint8]:
    """A small picture of shades, in as many bands as the model takes."""
    card = folder / CARD_FILE
    num_bands = len(ModelCard.load(card).bands) if card.exists() else 3
    shades = np.add.outer(np.arange(_EXAMPLE_SIDE), np.arange(_EXAMPLE_SIDE)) * 255 // (2 * _EXAMPLE_SIDE - 2)
    return np.repeat(shades.astype(np.uint8)[None, :, :, None], num_bands, axis=-1)


def _by_alias(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    try:
        return _to_version(client.get_model_version_by_alias(name, alias))
    except Exception as error:
        # The stores tell a missing alias as an invalid parameter.
        if is_missing(error) or getattr(error, "error_code", None) == "INVALID_PARAMETER_VALUE":
            return None
        raise


def _to_version(entry: Any) -> ModelVersion:  # noqa: ANN401  # mlflow.entities.model_registry.ModelVersion
    tags = dict(entry.tags or {})
    return ModelVersion(str(entry.name), int(entry.version), str(entry.run_id or ""), str(tags.get(DIGEST_TAG, "")))

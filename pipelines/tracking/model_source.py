"""`models:/NAME@ALIAS` and `models:/NAME/VERSION` as local model folders."""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from pipelines.storage import redact
from pipelines.storage.cache import cache_folder
from pipelines.tracking.connection import MlflowClient, connect, prepare_mlflow
from pipelines.tracking.errors import TrackingError, first_line
from pipelines.tracking.location import ENVIRONMENT_VARIABLE
from pipelines.tracking.registry import REQUIRED_FILE, ModelVersion, find_model_version, folder_digest
from pipelines.tracking.secrecy import mask_secrets
from rssr.errors import ModelError

_URI = re.compile(r"models:/+([^/@]+)(?:@([\w.-]+)|/(\d+))")


def fetch_registered_model(uri: str) -> Path:
    """The local folder of a registered model; entry point of `rssr.load_model`.

    The store is the one in MLFLOW_TRACKING_URI. Folders are cached by content, so an alias that has moved is
    noticed and one that has not costs one request.

    Args:
        uri: `models:/slimdiffsr-x4@champion` or `models:/slimdiffsr-x4/3`.

    Raises:
        ModelError: The URI is malformed, or there is no such model.
        TrackingError: No store is set, or it does not answer.
    """
    name, alias = _parsed(uri)
    tracking_uri = os.environ.get(ENVIRONMENT_VARIABLE)
    if not tracking_uri:
        raise TrackingError(
            f"'{uri}' is looked up in MLflow, but no store is set.",
            f"Set {ENVIRONMENT_VARIABLE}, e.g. to sqlite:////FOLDER/mlflow.db of the run that made the model.",
        )
    return fetch_model_version(tracking_uri, find_model_version(tracking_uri, name, alias))


def find_registered_model(uri: str, tracking_uri: str) -> ModelVersion:
    """The version that a model URI names in a store.

    Args:
        uri: `models:/slimdiffsr-x4@champion` or `models:/slimdiffsr-x4/3`.
        tracking_uri: The store.

    Raises:
        ModelError: The URI is malformed, or there is no such model.
        TrackingError: The store does not answer.
    """
    return find_model_version(tracking_uri, *_parsed(uri))


def fetch_model_version(tracking_uri: str, version: ModelVersion) -> Path:
    """The local folder of a version, from the cache or the store; its content is checked against its digest.

    Raises:
        ModelError: The version was registered by other means, or its content is damaged.
        TrackingError: The store does not answer.
    """
    if not version.digest:
        raise ModelError(f"{version.uri} was not registered by this project.", "Register its model folder with a job.")
    target = cache_folder("models") / version.digest
    if target.is_dir():
        return target
    client = connect(tracking_uri, create=False)  # fails fast, and says why
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as temporary:
        folder = _download(client, tracking_uri, version, Path(temporary))
        if not (folder / REQUIRED_FILE).is_file() or folder_digest(folder) != version.digest:
            raise _damaged(version)
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():  # another process was faster with the same content
                raise
    return target


def _parsed(uri: str) -> tuple[str, str]:
    """Name, and alias or version."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise ModelError(f"'{uri}' is not a model URI.", "Write models:/NAME@ALIAS or models:/NAME/VERSION.")
    name, alias, number = match.groups()
    return name, alias or number


def _download(client: MlflowClient, tracking_uri: str, version: ModelVersion, temporary: Path) -> Path:
    prepare_mlflow()
    import mlflow.artifacts

    registry_uri = os.environ.get("MLFLOW_REGISTRY_URI") or tracking_uri
    try:
        packed = mlflow.artifacts.download_artifacts(
            _address(client, version), dst_path=str(temporary), tracking_uri=tracking_uri, registry_uri=registry_uri
        )
    except Exception as error:
        reason = mask_secrets(first_line(error))
        store = redact(tracking_uri)
        raise TrackingError(f"{version.uri} cannot be fetched from {store} ({reason}).", "Check the store.") from error
    return Path(packed) / _path_of_folder(Path(packed), version)


def _address(client: MlflowClient, version: ModelVersion) -> str:
    """Where the files lie. MLflow looks `models:/` addresses up in the process's default store, not in this one."""
    address = str(client.get_model_version_download_uri(version.name, str(version.version)))
    scheme, separator, logged_model = address.partition(":/")
    if not separator or scheme != "models":
        return address
    return str(client.get_logged_model(logged_model.strip("/")).artifact_location)


def _path_of_folder(packed: Path, version: ModelVersion) -> str:
    """Where MLflow's layout keeps the model folder, as its description says."""
    try:
        description: Any = yaml.safe_load((packed / "MLmodel").read_text(encoding="utf-8"))
        return str(description["flavors"]["python_function"]["artifacts"]["model"]["path"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        raise _damaged(version) from None


def _damaged(version: ModelVersion) -> ModelError:
    return ModelError(f"The files of {version.uri} are damaged or incomplete.", "Register the model again.")

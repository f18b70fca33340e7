"""Published checkpoints as model folders, imported once."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipelines.evaluation.config import CheckpointConfig
from pipelines.storage import local_path, open_store
from pipelines.storage.cache import cache_folder
from rssr.configuration import config_digest
from rssr.weights.folder import is_model_folder
from rssr.weights.official import file_sha256, import_official


def import_checkpoint(config: CheckpointConfig) -> Path:
    """The local model folder of a published checkpoint; kept, by content, for the next evaluation.

    Args:
        config: Its format and files, local or remote.

    Raises:
        WeightsError: The files are no such checkpoint.
        StorageError: A file is not there.
    """
    files = [_local(uri) for uri in config.files]
    content = [file_sha256(path) if path.is_file() else "" for path in files]
    folder = cache_folder("models") / f"{config.format}-{config_digest(content, _own_version())[:32]}"
    if not is_model_folder(folder):
        import_official(config.format, files, folder)
    return folder


def _local(uri: str) -> Path:
    """The file itself, or a copy of a remote one."""
    path = local_path(uri)
    if path is not None:
        return path
    folder, _, name = uri.rpartition("/")
    store = open_store(folder)
    copy = cache_folder("checkpoints") / config_digest(uri, store.stat(name).version)[:32] / name
    if not copy.is_file():
        copy.parent.mkdir(parents=True, exist_ok=True)
        part = copy.with_name(f"{name}.part")
        store.download_file(name, part)
        part.replace(copy)
    return copy


def _own_version() -> str:
    """What imports are made by; another release may make other folders."""
    try:
        return version("rssr")
    except PackageNotFoundError:
        return ""

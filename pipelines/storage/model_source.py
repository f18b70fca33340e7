"""Models by URI: a folder in a store, copied once to a local cache."""

import hashlib
from pathlib import Path

from pipelines.storage.cache import cache_folder
from pipelines.storage.door import open_store
from pipelines.storage.store import Entry
from pipelines.storage.uris import local_path
from rssr.errors import ModelError, StorageError

_NEEDED = ("config.json", "model.safetensors")


def fetch_remote_model(uri: str) -> Path:
    """A local folder with the model that lies at a URI.

    The copy is kept below `$XDG_CACHE_HOME/rssr/models` (by default `~/.cache`) under a name made from the URI
    and the objects' versions: a model that changed is fetched anew, one that did not is not.

    Args:
        uri: `s3://bucket/models/NAME` or any other store's folder; local folders are returned as they are.

    Raises:
        ModelError: The folder holds no model.
        StorageError: It cannot be reached.
    """
    local = local_path(uri)
    if local is not None:
        return local
    store = open_store(uri)
    entries = store.list()
    missing = [name for name in _NEEDED if name not in {entry.key for entry in entries}]
    if missing:
        raise ModelError(f"{store.uri} holds no model: {' and '.join(missing)} missing.", "Check the URI.")
    folder = cache_folder("models") / _cache_name(store.uri, entries)
    if not folder.is_dir():
        try:
            store.download_folder("", folder)
        except StorageError:
            if not folder.is_dir():  # else another process was faster
                raise
    return folder


def _cache_name(uri: str, entries: list[Entry]) -> str:
    digest = hashlib.sha256(repr((uri, entries)).encode()).hexdigest()
    return f"{uri.rsplit('/', 1)[-1]}-{digest[:16]}"

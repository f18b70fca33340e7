"""Places that callers name: read from and written to only where the operator allows it."""

from collections.abc import Callable
from typing import Any

from pipelines.serving.problems import Problem
from pipelines.serving.security.config import SecurityConfig
from pipelines.storage.allowed import AllowedPlaces, PlaceRefused
from rssr.errors import ConfigError, StorageError

_ASK = "Ask the operator for a place: {key} lists them."
_SEND = "Or send the images as an archive (zip, tar), which needs no place."
_MARKS = "*?"  # of patterns


class ServicePlaces:
    """Where archives are read and written. Travels between processes.

    Args:
        config: Names the places.

    Raises:
        ConfigError: One of them can be no place.
    """

    def __init__(self, config: SecurityConfig) -> None:
        self._read = _allowed("security.read_places", config.read_places, config.inner_hosts)
        self._write = _allowed("security.write_places", config.write_places)

    def check_read(self, uri: str, caller: str) -> None:
        """Make sure that an input may be read; what it names is looked at when it is read.

        Args:
            uri: As the caller gave it: a folder, prefix, pattern, list, archive, item or single file.
            caller: Whose request it is; all may read the same places.

        Raises:
            Problem: It may not.
        """
        if not self._read.prefixes:
            raise Problem(
                "forbidden-place",
                "This service reads no places that callers name.",
                f"{_ASK.format(key='security.read_places')} {_SEND}",
            )
        _check(self._read.require, uri, f"{_ASK.format(key='security.read_places')} {_SEND}")

    def check_write(self, uri: str) -> None:
        """Make sure that products may be written somewhere.

        Args:
            uri: As the caller gave it: a folder or prefix.

        Raises:
            Problem: They may not.
        """
        remedy = f"{_ASK.format(key='security.write_places')} Without `output` the service keeps the products for you."
        if not self._write.prefixes:
            raise Problem("forbidden-place", "This service writes to no places that callers name.", remedy)
        if uri.lower().startswith(("http://", "https://")) or set(_MARKS) & set(uri):
            raise Problem("forbidden-place", "Products go to folders and object stores, of one name.", remedy)
        _check(self._write.require, uri, remedy)

    def bulk_keys(self, *own: str) -> dict[str, Any]:
        """Keys of `BulkConfig` that hold a run to the places, whatever its inputs name.

        Args:
            own: Addresses of the service's own that it may also read, such as an upload.
        """
        return {"read_places": [*self._read.prefixes, *own], "inner_hosts": list(self._read.inner_hosts)}


def _allowed(key: str, prefixes: tuple[str, ...], inner_hosts: tuple[str, ...] = ()) -> AllowedPlaces:
    try:
        return AllowedPlaces(prefixes, inner_hosts)
    except StorageError as error:
        raise ConfigError(f"{key}: {error.problem}", "Give whole paths and URIs of folders or prefixes.") from None


def _check(require: Callable[[str], None], uri: str, remedy: str) -> None:
    try:
        require(uri)
    except PlaceRefused as error:
        raise Problem("forbidden-place", error.problem, f"{error.remedy} {remedy}".strip()) from None

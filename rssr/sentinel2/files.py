"""The files of a product, wherever they lie."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from rssr.errors import RasterError
from rssr.raster import ByteSource


class ProductFiles(Protocol):
    """Files below one place: a folder, or a prefix of an object store."""

    @property
    def name(self) -> str:
        """What errors call the place."""

    @property
    def keys(self) -> Sequence[str]:
        """Paths below the place, with forward slashes."""

    def read_bytes(self, key: str) -> bytes:
        """A small file, such as metadata.

        Raises:
            UserError: It is not there or cannot be read.
        """

    def raster_source(self, key: str) -> str | ByteSource:
        """An image: its path, or where its bytes come from."""

    def linked_source(self, key: str, address: str) -> str | ByteSource:
        """An image that a file names: relative to that file, or by an address of its own."""


class LocalFiles:
    """Files on this machine.

    Args:
        place: A folder, such as `X.SAFE`, whose files count at any depth; or one file.

    Raises:
        RasterError: There is nothing.
    """

    def __init__(self, place: Path) -> None:
        if not place.exists():
            raise RasterError(f"There is no file or folder {place}.", "Check the path.")
        self._root = place if place.is_dir() else place.parent
        found = place.rglob("*") if place.is_dir() else [place]
        self.name = str(place)
        self.keys = tuple(sorted(path.relative_to(self._root).as_posix() for path in found if path.is_file()))

    def read_bytes(self, key: str) -> bytes:
        """See `ProductFiles`."""
        try:
            return (self._root / key).read_bytes()
        except OSError as error:
            raise RasterError(f"{self._root / key} cannot be read: {error.strerror}.", "Check the file.") from None

    def raster_source(self, key: str) -> str:
        """See `ProductFiles`."""
        return str(self._root / key)

    def linked_source(self, key: str, address: str) -> str:
        """See `ProductFiles`; addresses elsewhere need `pipelines.storage`.

        Raises:
            RasterError: The address is none of this machine's.
        """
        scheme, separator, rest = address.partition("://")
        if separator and scheme.lower() != "file":
            raise RasterError(
                f"{self.name} names an image at {scheme}://, which is not on this machine.",
                "Fetch the images and let the item name them by relative paths.",
            )
        return f"/{rest.lstrip('/')}" if separator else str((self._root / key).parent / address)

"""Find the images below a location and read each of them once."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipelines.storage import Entry, ObjectMissing, Store, is_local, join_uri, open_store
from rssr.errors import DataError, ImageError
from rssr.images import decode_image, probe_image

EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".jp2")
Progress = Callable[[int, int], None]
"""Called with the number of images done and of all."""

_MAX_PIXELS_IN_FLIGHT = 250_000_000  # decoded at once, over all threads: 750 MB; one larger image goes alone
_JUNK_FOLDERS = ("__MACOSX",)


@dataclass(frozen=True)
class FoundImage:
    """An image in a listing.

    Attributes:
        source: Position of its location in the list of data locations.
        entry: Key, size and version.
    """

    source: int
    entry: Entry

    @property
    def class_name(self) -> str | None:
        """Name of the folder it lies in, or None at the top."""
        return PurePosixPath(self.entry.key).parent.name or None


@dataclass(frozen=True)
class VerifiedImage:
    """What reading an image told.

    Attributes:
        width: Pixels, after decoding.
        height: Pixels.
        num_bytes: Encoded size.
        sha256: Digest of the encoded bytes.
        conversions: What decoding changed.
    """

    width: int
    height: int
    num_bytes: int
    sha256: str
    conversions: tuple[str, ...]


def find_images(uris: Sequence[str]) -> list[FoundImage]:
    """All images below the locations, sorted by location and key.

    Raises:
        DataError: A location is missing, empty or without images.
        StorageError: It cannot be reached.
    """
    return [FoundImage(source, entry) for source, uri in enumerate(uris) for entry in _list_images(uri)]


def verify_images(
    found: Sequence[FoundImage], uris: Sequence[str], num_threads: int, progress: Progress
) -> list[VerifiedImage | str]:
    """Read, hash and decode each image once, without local copies.

    Returns:
        For each image, in order, what was found, or the reason why it cannot be used.

    Raises:
        StorageError: A store fails, as opposed to one image.
    """
    stores = [open_store(uri) for uri in uris]
    budget = _PixelBudget(_MAX_PIXELS_IN_FLIGHT)
    outcomes: list[VerifiedImage | str] = []
    with ThreadPoolExecutor(num_threads) as pool:
        tasks = [pool.submit(_verify, stores[image.source], image.entry.key, budget) for image in found]
        try:
            for task in tasks:
                outcomes.append(task.result())
                progress(len(outcomes), len(found))
        finally:
            for task in tasks:
                task.cancel()
    return outcomes


def _list_images(uri: str) -> list[Entry]:
    store = open_store(uri)
    entries = store.list()
    images = [entry for entry in entries if _is_image(entry.key)]
    if images:
        return images
    endings = ", ".join(ending[1:] for ending in EXTENSIONS)
    if entries:
        raise DataError(
            f"None of the {len(entries)} files below {store.uri} is an image by its name.",
            f"Images end in {endings}. Check data.uri.",
        )
    if store.has_folder():
        raise DataError(f"The folder {store.uri} is empty.", f"Put images there ({endings}) or correct data.uri.")
    if is_local(uri) and _is_file(store):
        raise DataError(f"{store.uri} is a file.", "Give the folder that it lies in as data.uri.")
    problem = "does not exist" if is_local(uri) else "holds nothing"
    raise DataError(f"The folder {store.uri} {problem}.", "Correct data.uri, or use data.uri=sample to try things out.")


def _is_file(store: Store) -> bool:
    folder, _, name = store.uri.rpartition("/")
    return open_store(join_uri(folder or "/")).exists(name)


def _is_image(key: str) -> bool:
    path = PurePosixPath(key)
    hidden = any(part.startswith(".") or part in _JUNK_FOLDERS for part in path.parts)
    return path.suffix.lower() in EXTENSIONS and not hidden


def _verify(store: Store, key: str, budget: "_PixelBudget") -> VerifiedImage | str:
    try:
        data = store.read_bytes(key)
        probe = probe_image(data, key)
        with budget.reserved(probe.width * probe.height):
            decoded = decode_image(data, key)
            height, width = decoded.pixels.shape[:2]
    except ImageError as error:
        return error.problem
    except ObjectMissing:
        return f"{key} was removed while the dataset was being read."
    digest = hashlib.sha256(data).hexdigest()
    return VerifiedImage(width, height, len(data), digest, decoded.conversions)


class _PixelBudget:
    """Bounds the pixels decoded at once, so that many threads and large images do not exhaust memory."""

    def __init__(self, num_pixels: int) -> None:
        self._num_pixels = num_pixels
        self._in_flight = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserved(self, num_pixels: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight == 0 or self._in_flight + num_pixels <= self._num_pixels)
            self._in_flight += num_pixels
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= num_pixels
                self._changed.notify_all()

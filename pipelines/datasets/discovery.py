"""Find the images below a location and read each of them once."""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from pipelines.catalogue import (
    AUTO,
    EXTENSIONS,
    Label,
    SplitName,
    completeness,
    describe_others,
    is_image_key,
    recognise,
)
from pipelines.storage import Entry, ObjectDamaged, ObjectMissing, Store, is_local, join_uri, open_store
from pipelines.storage.archive import ARCHIVE_SUFFIXES
from pipelines.storage.shards import ShardImage, ShardStore, open_images
from rssr.errors import DataError, ImageError
from rssr.images import decode_image, probe_image

Progress = Callable[[int, int], None]
"""Called with the number of images done and of all."""

MAX_PIXELS_IN_FLIGHT = 250_000_000  # decoded at once, over all threads: 750 MB; one larger image goes alone

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundImage:
    """An image in a listing.

    Attributes:
        source: Position of its location in the list of data locations.
        entry: Key, size and version.
        label: Class and official split; None where the dataset's layout does not know the image.
        known: What it holds, where that is known without reading it: in shards.
    """

    source: int
    entry: Entry
    label: Label | None
    known: "VerifiedImage | None" = None

    @property
    def class_name(self) -> str | None:
        """Its class, or None where it has none."""
        return self.label.class_name if self.label is not None else None

    @property
    def split(self) -> SplitName | None:
        """The split that it was given when the dataset was published, or by split lists."""
        return self.label.split if self.label is not None else None


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


def find_images(uris: Sequence[str], layouts: Sequence[str] | None = None) -> list[FoundImage]:
    """All images below the locations, sorted by location and key.

    Args:
        uris: Folders, archives or lists of files.
        layouts: Name of each location's layout, see `pipelines.catalogue.recognise`; recognised by default.

    Raises:
        DataError: A location is missing, empty or without images, or not of the layout it is said to be.
        StorageError: It cannot be reached.
    """
    names = layouts or [AUTO] * len(uris)
    located = enumerate(zip(uris, names, strict=True))
    return [image for source, (uri, name) in located for image in _list_images(source, uri, name)]


def verify_images(
    found: Sequence[FoundImage], uris: Sequence[str], num_threads: int, progress: Progress
) -> list[VerifiedImage | str]:
    """Read, hash and decode each image once, without local copies; those in shards were when these were made.

    Returns:
        For each image, in order, what was found, or the reason why it cannot be used.

    Raises:
        StorageError: A store fails, as opposed to one image.
    """
    stores = {source: open_store(uris[source]) for source in {image.source for image in found if image.known is None}}
    budget = PixelBudget(MAX_PIXELS_IN_FLIGHT)
    outcomes: list[VerifiedImage | str] = []
    with ThreadPoolExecutor(num_threads) as pool:
        tasks = [image.known or pool.submit(_verify, stores[image.source], image.entry.key, budget) for image in found]
        try:
            for task in tasks:
                outcomes.append(task.result() if isinstance(task, Future) else task)
                progress(len(outcomes), len(found))
        finally:
            for task in tasks:
                if isinstance(task, Future):
                    task.cancel()
    return outcomes


def _list_images(source: int, uri: str, layout_name: str) -> list[FoundImage]:
    store = open_images(uri)
    if isinstance(store, ShardStore):
        return [_of_shards(source, image) for image in store.images()]
    entries = store.list()
    images = [entry for entry in entries if is_image_key(entry.key)]
    if not images:
        raise _no_images(store, uri, entries)
    layout = recognise([entry.key for entry in entries], layout_name, store.read_bytes)
    found = [FoundImage(source, entry, layout.label(entry.key)) for entry in images]
    if others := describe_others(entry.key for entry in entries):
        log.info("%s: left alone, being no images by their names: %s", store.uri, others)
    for sentence in completeness(layout, [image.label for image in found if image.label is not None]):
        log.warning("%s: %s", store.uri, sentence)
    return found


def _of_shards(source: int, image: ShardImage) -> FoundImage:
    facts = (image.width, image.height, image.num_bytes, image.sha256, tuple(image.conversions))
    entry = Entry(image.key, image.num_bytes, image.sha256)
    return FoundImage(source, entry, Label(image.class_name, image.split), VerifiedImage(*facts))


def _no_images(store: Store, uri: str, entries: Sequence[Entry]) -> DataError:
    endings = ", ".join(ending[1:] for ending in EXTENSIONS)
    archives = [entry.key for entry in entries if entry.key.lower().endswith(ARCHIVE_SUFFIXES)]
    if archives:
        return DataError(
            f"{store.uri} holds no images, but {len(archives)} archives: {', '.join(archives[:3])}.",
            f"Give the archives themselves, e.g. data.uri=[{store.describe(archives[0])}].",
        )
    if entries:
        return DataError(
            f"None of the {len(entries)} files below {store.uri} is an image by its name.",
            f"Images end in {endings}. Check data.uri.",
        )
    if store.has_folder():
        return DataError(f"The folder {store.uri} is empty.", f"Put images there ({endings}) or correct data.uri.")
    if is_local(uri) and _is_file(store):
        return DataError(f"{store.uri} is a file.", "Give the folder that it lies in as data.uri.")
    problem = "does not exist" if is_local(uri) else "holds nothing"
    return DataError(
        f"The folder {store.uri} {problem}.", "Correct data.uri, or use data.uri=sample to try things out."
    )


def _is_file(store: Store) -> bool:
    folder, _, name = store.uri.rpartition("/")
    return open_store(join_uri(folder or "/")).exists(name)


def _verify(store: Store, key: str, budget: "PixelBudget") -> VerifiedImage | str:
    try:
        data = store.read_bytes(key)
        probe = probe_image(data, key)
        with budget.reserved(probe.width * probe.height):
            decoded = decode_image(data, key)
            height, width = decoded.pixels.shape[:2]
    except (ImageError, ObjectDamaged) as error:
        return error.problem
    except ObjectMissing:
        return f"{key} was removed while the dataset was being read."
    digest = hashlib.sha256(data).hexdigest()
    return VerifiedImage(width, height, len(data), digest, decoded.conversions)


class PixelBudget:
    """Bounds the pixels decoded at once, so that many threads and large images do not exhaust memory."""

    def __init__(self, num_pixels: int) -> None:
        self._num_pixels = num_pixels
        self._in_flight = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserved(self, num_pixels: int) -> Iterator[None]:
        """Wait until so many pixels fit; more than the bound go alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight == 0 or self._in_flight + num_pixels <= self._num_pixels)
            self._in_flight += num_pixels
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= num_pixels
                self._changed.notify_all()

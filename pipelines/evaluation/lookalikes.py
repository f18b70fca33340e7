"""Images that resemble one another, in two datasets of an evaluation or in one and in what a method was trained on.

Images that were encoded again, resized, turned or cropped a little are found by fingerprint: AID and NWPU-RESISC45, for
one, both come from Google Earth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.datasets.manifest import ImageRecord, Manifest
from pipelines.evaluation.learnt import LearntImages
from pipelines.evaluation.result import SharedImage
from pipelines.ingest.config import DuplicatesConfig
from pipelines.ingest.duplicates import Collection, Duplicate, find_between
from pipelines.ingest.fingerprinting import collect_images
from pipelines.progress import Progress
from pipelines.storage import Store
from rssr.card import digest_of_images
from rssr.errors import DataError, StorageError


@dataclass(frozen=True)
class SplitFindings:
    """What was found.

    Attributes:
        shared: Images that methods have learnt from or may have, and those that datasets share: each image once for
            each method or other dataset, with the nearest of those that it resembles.
        notices: What could not be found out, in words.
    """

    shared: tuple[SharedImage, ...]
    notices: tuple[str, ...]


def find_lookalikes(learnt: Sequence[LearntImages], datasets: Mapping[str, Manifest], home: Store) -> SplitFindings:
    """Images that two datasets share, or that resemble images which a method was trained on.

    Args:
        learnt: What methods were trained on; only manifests that could be opened are compared.
        datasets: Images to measure on, by name of the dataset.
        home: Where fingerprints are kept.

    Raises:
        StorageError: The images to measure on cannot be reached.
    """
    limits = DuplicatesConfig()
    own = {name: _collected(name, data.records, data.sources, home) for name, data in datasets.items()}
    shared = []
    for number, (name, one) in enumerate(own.items()):
        for other in list(own.values())[number + 1 :]:
            pairs = _nearest(find_between(one, other, limits))
            shared += [SharedImage(name, p.key, "", f"{other.uri}: {p.other_key}", p.distance) for p in pairs]
    notices = []
    seen: dict[tuple[str, ...], Collection] = {}  # methods often share a manifest
    for trained in learnt:
        for records, sources in trained.manifests:
            place = (*sources, digest_of_images(record.sha256 for record in records))
            try:
                seen[place] = seen.get(place) or _collected(trained.method, records, sources, home)
            except (StorageError, DataError) as error:
                notices.append(f"Images that resemble those that {trained.method} was trained on: {error.problem}")
                continue
            notices += _unread(trained.method, seen[place])
            shared += _resembling(trained, own, seen[place], limits)
    return SplitFindings(tuple(shared), tuple(notices))


def _collected(name: str, records: Sequence[ImageRecord], sources: Sequence[str], home: Store) -> Collection:
    with Progress(f"comparing images: {name}", total=len(records)) as progress:
        return collect_images(name, records, sources, home, lambda done, _: progress.update(done))


def _resembling(
    trained: LearntImages, own: Mapping[str, Collection], training: Collection, limits: DuplicatesConfig
) -> list[SharedImage]:
    """Images that resemble training images, without those that are training images themselves."""
    shared = []
    for name, collection in own.items():
        digests = collection.rows.column("sha256").to_pylist()
        keys = collection.rows.column("key").to_pylist()
        known = {key for key, digest in zip(keys, digests, strict=True) if digest in trained.digests}
        pairs = [pair for pair in _nearest(find_between(collection, training, limits)) if pair.key not in known]
        shared += [SharedImage(name, pair.key, trained.method, pair.other_key, pair.distance) for pair in pairs]
    return shared


def _nearest(pairs: Iterable[Duplicate]) -> list[Duplicate]:
    """Of each image the pair that differs least, by key; the same bytes are nearest."""
    best: dict[str, Duplicate] = {}
    for pair in sorted(pairs, key=lambda pair: (pair.kind, pair.distance or 0, -pair.correlation, pair.other_key)):
        best.setdefault(pair.key, pair)
    return sorted(best.values(), key=lambda pair: pair.key)


def _unread(method: str, training: Collection) -> list[str]:
    missing = training.fingerprints.column("phash").null_count
    total = training.rows.num_rows
    if not missing:
        return []
    return [
        f"{missing} of the {total} images that {method} was trained on could not be compared: gone, changed or flat."
    ]

"""Which images a model has learnt from, as far as its card and the manifests that it names tell."""

import re
from dataclasses import dataclass
from pathlib import Path

from pipelines.datasets.manifest import ImageRecord, Manifest, read_manifest
from pipelines.storage import ObjectMissing, open_store
from rssr.card import ModelCard, TrainingManifest, digest_of_images
from rssr.errors import DataError, StorageError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SPLITS = ("train", "test")


@dataclass(frozen=True)
class TrainedMethod:
    """A method whose network was trained.

    Attributes:
        name: In rows.
        card: Its card; None where it has none, such as a published checkpoint.
        folder: Its model folder.
    """

    name: str
    card: ModelCard | None
    folder: Path


@dataclass(frozen=True)
class LearntImages:
    """What a method was trained on.

    Attributes:
        method: Name of the method.
        digests: SHA-256 of every image that is known.
        set_digest: Of the whole list, where the card names that instead of the list; else empty.
        manifests: Training images with their data locations, of each manifest that could be opened.
        gap: Why not all images are known, in words; empty where they are.
    """

    method: str
    digests: frozenset[str]
    set_digest: str
    manifests: tuple[tuple[tuple[ImageRecord, ...], tuple[str, ...]], ...]
    gap: str

    @property
    def keys(self) -> dict[str, str]:
        """Keys of the training images by content, as far as manifests tell."""
        return {record.sha256: record.key for records, _ in self.manifests for record in records}

    def seen_of(self, records: tuple[ImageRecord, ...]) -> tuple[ImageRecord, ...]:
        """Those of some images that it was trained on; all of them where their digest is that of its whole list."""
        seen = tuple(record for record in records if record.sha256 in self.digests)
        if not seen and self.set_digest and self.set_digest in _digests_of(records):
            return records
        return seen


def learnt_images(method: TrainedMethod) -> LearntImages:
    """What a method was trained on; manifests that are elsewhere are fetched.

    Raises:
        ModelError: The card names a list of images that is not in the model folder.
    """
    card = method.card
    if card is None:
        return LearntImages(method.name, frozenset(), "", (), "it has no card")
    listed = card.training_images(method.folder)
    opened, closed = [], []
    for training in card.training_manifests:
        manifest = _open(training)
        if manifest is None:
            closed.append(training.uri)
        else:
            records = tuple(record for record in manifest.records if record.split == training.split)
            opened.append((records, manifest.sources))
    inside = [record for records, _ in opened for record in records]
    named = card.training_images_sha256 or ""
    set_digest = named if _SHA256.fullmatch(named) else ""
    is_whole = bool(listed) or (bool(opened) and not closed) or (bool(set_digest) and set_digest in _digests_of(inside))
    digests = listed | {record.sha256 for record in inside}
    return LearntImages(method.name, digests, set_digest, tuple(opened), "" if is_whole else _gap(set_digest, closed))


def _open(training: TrainingManifest) -> Manifest | None:
    """The manifest that a card names; None where it is gone, is another by now, or cannot be reached."""
    folder, _, name = training.uri.rstrip("/").rpartition("/")
    if training.split not in _SPLITS or not name:
        return None
    try:
        manifest = read_manifest(open_store(folder or "/"), name)
    except (ObjectMissing, StorageError, DataError):
        return None
    return manifest if manifest.digest == training.digest else None


def _digests_of(records: tuple[ImageRecord, ...] | list[ImageRecord]) -> set[str]:
    """Of the whole list, with every image or each content once."""
    digests = [record.sha256 for record in records]
    return {digest_of_images(digests), digest_of_images(set(digests))}


def _gap(set_digest: str, closed: list[str]) -> str:
    why = "its card names only the digest of their list" if set_digest else "its card does not list them"
    elsewhere = f", and {closed[0]} cannot be opened here" if closed else ""
    return f"{why}{elsewhere}"

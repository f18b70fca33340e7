"""Read one image, and find out all that its row of a shard says."""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from pipelines.datasets.discovery import PixelBudget
from pipelines.ingest.fingerprint import Fingerprint, fingerprint
from pipelines.ingest.planning import SourceImage
from pipelines.storage import ObjectDamaged, Store
from rssr.errors import DataError, ImageError
from rssr.images import decode_image, probe_image


@dataclass(frozen=True)
class CheckedImage:
    """An image that can be used.

    Attributes:
        source: Where it comes from.
        data: The encoded bytes.
        width: Pixels, after decoding.
        height: Pixels.
        sha256: Digest of the encoded bytes.
        conversions: What decoding changes.
        fingerprint: None where it is too small or too flat for one.
    """

    source: SourceImage
    data: bytes
    width: int
    height: int
    sha256: str
    conversions: tuple[str, ...]
    fingerprint: Fingerprint | None


class Rejected(NamedTuple):
    """An image that cannot be used, and why."""

    source: SourceImage
    reason: str


def check_image(store: Store, source: SourceImage, budget: PixelBudget) -> CheckedImage | Rejected:
    """Read, hash and decode one image.

    Args:
        store: Holds it.
        source: The image as it was listed.
        budget: Shared by all that decode at the same time.

    Raises:
        DataError: It has changed since it was listed.
        StorageError: It cannot be read.
    """
    key = source.entry.key
    try:
        key.encode()
    except UnicodeEncodeError:
        return Rejected(source, f"{key!a} is no text: its name is not UTF-8.")
    try:
        data = store.read_bytes(key)
    except ObjectDamaged as error:  # of an archive, whose other members may be sound
        return Rejected(source, error.problem)
    if len(data) != source.entry.num_bytes:
        raise DataError(
            f"{store.describe(key)} had {source.entry.num_bytes:,} bytes when it was listed and has {len(data):,} now.",
            "Run the same command again once nobody writes there.",
        )
    try:
        probe = probe_image(data, key)
        with budget.reserved(probe.width * probe.height):
            decoded = decode_image(data, key)
            mark = fingerprint(decoded.pixels)
    except ImageError as error:
        return Rejected(source, error.problem)
    height, width = decoded.pixels.shape[:2]
    digest = hashlib.sha256(data).hexdigest()
    return CheckedImage(source, data, width, height, digest, decoded.conversions, mark)

"""The manifest: which images a run uses, what they hold and which are held out."""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.datasets.split import Candidate, choose_test_digests
from pipelines.storage import ObjectMissing, Store
from rssr.errors import DataError

if TYPE_CHECKING:
    from rssr.methods.training import TrainingConfig

Split = Literal["train", "test"]
Half = Literal["fit", "report"]

_FORMAT_VERSION = 1
_HALVES_SEED = 0  # the same for all runs: a manifest alone says which held-out images an error bar was fitted on
_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("source", pa.int32()),
        ("split", pa.string()),
        ("class_name", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("num_bytes", pa.int64()),
        ("sha256", pa.string()),
    ]
)


@dataclass(frozen=True)
class ImageRecord:
    """One usable image.

    Attributes:
        key: Below its source.
        source: Position in `Manifest.sources`.
        split: `train` or `test`.
        class_name: Name of its folder, or None.
        width: Pixels.
        height: Pixels.
        num_bytes: Encoded size.
        sha256: Digest of the encoded bytes.
    """

    key: str
    source: int
    split: Split
    class_name: str | None
    width: int
    height: int
    num_bytes: int
    sha256: str

    @property
    def side(self) -> int:
        """The shorter side, pixels."""
        return min(self.width, self.height)


class Skipped(NamedTuple):
    """An image left out, and why."""

    key: str
    reason: str
    source: int = 0


@dataclass(frozen=True)
class Manifest:
    """The images of a run, sorted by source and key.

    Attributes:
        sources: URIs of the data locations.
        records: Usable images.
        skipped: Images left out.
        conversions: How many images decoding changed, by kind of change.
        inputs_digest: Digest of the listing and settings it was made from, see `build.load_or_build_manifest`.
    """

    sources: tuple[str, ...]
    records: tuple[ImageRecord, ...]
    skipped: tuple[Skipped, ...] = ()
    conversions: Mapping[str, int] = field(default_factory=dict)
    inputs_digest: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over key, content and split of every image; where the images lie plays no part."""
        digest = hashlib.sha256()
        for record in self.records:
            digest.update(f"{record.key}\0{record.sha256}\0{record.split}\n".encode())
        return digest.hexdigest()

    def split(self, name: Split) -> tuple[ImageRecord, ...]:
        """Images of one split."""
        return tuple(record for record in self.records if record.split == name)

    def training_images(self, patch_size: int) -> tuple[ImageRecord, ...]:
        """Training images that hold a patch of this side, HR pixels.

        Raises:
            DataError: There is none.
        """
        return self._holding("train", patch_size)

    def test_images(self, patch_size: int = 1) -> tuple[ImageRecord, ...]:
        """Held-out images that hold a patch of this side, HR pixels.

        Raises:
            DataError: There is none.
        """
        return self._holding("test", patch_size)

    def images_of_phase(
        self, config: "TrainingConfig", largest_scale: float
    ) -> tuple[tuple[ImageRecord, ...], tuple[ImageRecord, ...]]:
        """Images that a phase learns from, and those it is validated on, which it never sees.

        Args:
            config: Says how large patches are.
            largest_scale: Of those trained; where LR patches are fixed, HR patches are largest there.

        Raises:
            DataError: There is none that holds the phase's patches, see `training_images` and `half_of_test_images`.
        """
        size, held_out_size = config.hr_patch_size(largest_scale), config.patch_size
        if config.fits_held_out:
            return self.half_of_test_images("fit", size), self.half_of_test_images("report", held_out_size)
        return self.training_images(size), self.test_images(held_out_size)

    def half_of_test_images(self, half: Half, patch_size: int = 1) -> tuple[ImageRecord, ...]:
        """Held-out images of one half that hold a patch of this side, HR pixels.

        What is fitted to a finished network's errors learns from the half `fit` and is judged on the half `report`.
        The classes are spread over both as evenly as they go, images of equal content are in the same one, and the
        larger half of an odd number is `fit`.

        Raises:
            DataError: There are fewer than two distinct held-out images, or none of the half holds the patch.
        """
        return self._usable(self._halves[half], f"held-out ('{half}' half)", patch_size)

    @cached_property
    def _halves(self) -> dict[Half, tuple[ImageRecord, ...]]:
        images = self.split("test")
        num_distinct = len({image.sha256 for image in images})
        if num_distinct < 2:
            raise DataError(
                f"{num_distinct} distinct images are held out, too few to fit error bars on one half and judge them on "
                "the other.",
                "Hold out more (data.num_test, data.test_fraction, data.test_uri), or leave the phase out.",
            )
        candidates = [Candidate(image.sha256, image.class_name) for image in images]
        report = choose_test_digests(candidates, num_distinct // 2, _HALVES_SEED)
        return {
            "fit": tuple(image for image in images if image.sha256 not in report),
            "report": tuple(image for image in images if image.sha256 in report),
        }

    def _holding(self, name: Split, patch_size: int) -> tuple[ImageRecord, ...]:
        images = self.split(name)
        if not images:
            where = ", ".join(self.sources)
            raise DataError(f"No image of {where} is in the {name} split.", "Check data.num_test and data.test_uri.")
        return self._usable(images, name, patch_size)

    def _usable(self, images: tuple[ImageRecord, ...], name: str, patch_size: int) -> tuple[ImageRecord, ...]:
        usable = tuple(image for image in images if image.side >= patch_size)
        if usable:
            return usable
        largest = max(image.side for image in images)
        where = ", ".join(self.sources)
        raise DataError(
            f"None of the {len(images)} {name} images of {where} holds a patch of {patch_size} pixels; the largest "
            f"measures {largest} pixels on its shorter side.",
            "Choose a smaller patch_size or larger images.",
        )


def write_manifest(manifest: Manifest, store: Store, key: str) -> None:
    """Write a manifest below a key: the images as Parquet, then `manifest.json`, which names that file.

    A reader sees the old manifest or the new one.
    """
    name = f"images-{manifest.digest[:16]}.parquet"
    buffer = io.BytesIO()
    pq.write_table(manifest_table(manifest.records), buffer)
    store.write_bytes(f"{key}/{name}", buffer.getvalue())
    summary = {
        "format_version": _FORMAT_VERSION,
        "digest": manifest.digest,
        "images": name,
        "sources": list(manifest.sources),
        "num_train": len(manifest.split("train")),
        "num_test": len(manifest.split("test")),
        "conversions": dict(manifest.conversions),
        "skipped": [skipped._asdict() for skipped in manifest.skipped],
        "inputs_digest": manifest.inputs_digest,
    }
    store.write_bytes(f"{key}/manifest.json", json.dumps(summary, indent=1).encode())


def read_manifest(store: Store, key: str) -> Manifest:
    """Read what `write_manifest` wrote.

    Raises:
        ObjectMissing: There is no manifest.
        DataError: It is damaged or of another version.
    """
    address = store.describe(f"{key}/manifest.json")
    summary = _read_summary(store, key, address)
    try:
        table = pq.read_table(io.BytesIO(store.read_bytes(f"{key}/{summary['images']}")), schema=_SCHEMA)
        manifest = Manifest(
            sources=tuple(summary["sources"]),
            records=tuple(ImageRecord(**row) for row in table.to_pylist()),
            skipped=tuple(Skipped(**row) for row in summary["skipped"]),
            conversions=dict(summary["conversions"]),
            inputs_digest=summary["inputs_digest"],
        )
    except (KeyError, TypeError, pa.ArrowException, ObjectMissing) as error:
        raise _damaged(address, f"{type(error).__name__}") from None
    if manifest.digest != summary["digest"]:
        raise _damaged(address, "its digest differs from its images")
    return manifest


def manifest_table(records: Iterable[ImageRecord]) -> pa.Table:
    """Records as an Arrow table."""
    return pa.Table.from_pylist([asdict(record) for record in records], schema=_SCHEMA)


def _read_summary(store: Store, key: str, address: str) -> dict[str, Any]:
    try:
        summary = json.loads(store.read_bytes(f"{key}/manifest.json"))
    except ValueError:
        raise _damaged(address, "not JSON") from None
    version = summary.get("format_version") if isinstance(summary, dict) else None
    if version != _FORMAT_VERSION:
        raise DataError(
            f"The manifest {address} has format {version}; this version reads {_FORMAT_VERSION}.",
            "Delete it and run the job again.",
        )
    return dict(summary)


def _damaged(address: str, why: str) -> DataError:
    return DataError(f"The manifest {address} is damaged ({why}).", "Delete it and run the job again.")

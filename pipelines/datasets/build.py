"""Make a manifest from images, or reuse the one that was made from the same images before."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.datasets.config import DataConfig
from pipelines.datasets.discovery import FoundImage, Progress, VerifiedImage, verify_images
from pipelines.datasets.given_split import find_labelled_images, leave_out
from pipelines.datasets.manifest import ImageRecord, Manifest, Skipped, Split, read_manifest, write_manifest
from pipelines.datasets.split import Candidate, choose_test_digests
from pipelines.storage import ObjectMissing, Store, open_store
from rssr.configuration import config_digest
from rssr.errors import DataError

_SMALLEST_LR_SIDE = 8  # pixels; metrics and networks have nothing to say about less
_NUM_NAMED = 5  # bad files quoted in an error
_RULES_VERSION = 2  # raise it when the rules below change, so that no old manifest is reused


@dataclass(frozen=True)
class _Usable:
    found: FoundImage
    image: VerifiedImage


def load_or_build_manifest(
    store: Store, key: str, data_uris: Sequence[str], config: DataConfig, seed: int, progress: Progress | None = None
) -> Manifest:
    """The stored manifest where listing (key, size, version), settings and seed are the same; else a new one, stored.

    Args:
        store: Where manifests are kept.
        key: Folder of this one.
        data_uris: What `config.uri` stands for, `sample` resolved.
        config: Split and limits.
        seed: Of the split.
        progress: Called while images are read.

    Raises:
        DataError, StorageError: See `build_manifest`.
    """
    locations = (*data_uris, *config.test_uris)
    found = find_labelled_images(data_uris, config)
    inputs_digest = _inputs_digest(found, locations, config, seed)
    try:
        stored = read_manifest(store, key)
    except (ObjectMissing, DataError):
        stored = None
    if stored is not None and stored.inputs_digest == inputs_digest:
        return stored
    manifest = _build(found, data_uris, config, seed, progress)
    write_manifest(manifest, store, key)
    return manifest


def build_manifest(
    data_uris: Sequence[str], config: DataConfig, seed: int, progress: Progress | None = None
) -> Manifest:
    """List the images, read and verify each once, and split them.

    Args:
        data_uris: What `config.uri` stands for, `sample` resolved.
        config: Split and limits.
        seed: Of the split.
        progress: Called after each image with the numbers done and of all.

    Raises:
        DataError: A location is missing, empty or without images; too many images are unreadable; nothing is left.
        StorageError: A location cannot be reached.
    """
    return _build(find_labelled_images(data_uris, config), data_uris, config, seed, progress)


def _build(
    found: list[FoundImage], data_uris: Sequence[str], config: DataConfig, seed: int, progress: Progress | None
) -> Manifest:
    locations = (*data_uris, *config.test_uris)
    skipped = leave_out(found, len(data_uris), config)
    left_out = {(item.source, item.key) for item in skipped}
    wanted = [image for image in found if (image.source, image.entry.key) not in left_out]
    readable, corrupt = _verify(wanted, locations, config, progress)
    _check_corrupt(corrupt, len(wanted), config)
    skipped += corrupt
    smallest = _SMALLEST_LR_SIDE * config.scale_range[1]
    usable = _drop_smaller(readable, smallest, f"less than {_SMALLEST_LR_SIDE} LR pixels at the largest scale", skipped)
    if not any(item.found.source < len(data_uris) for item in usable):
        raise _nothing_to_train_on(locations, skipped)
    splits = _split(usable, len(data_uris), config, seed)
    records = _records(usable, splits, config.patch_size or 1, skipped)
    if not any(record.split == "train" for record in records):
        raise _nothing_to_train_on(locations, skipped)
    sources = tuple(open_store(uri).uri for uri in locations)
    conversions = Counter(kind for item in usable for kind in item.image.conversions)
    ordered = tuple(sorted(skipped, key=lambda item: (item.source, item.key)))
    digest = _inputs_digest(found, locations, config, seed)
    return Manifest(sources, records, ordered, dict(sorted(conversions.items())), digest)


def _verify(
    images: list[FoundImage], locations: Sequence[str], config: DataConfig, progress: Progress | None
) -> tuple[list[_Usable], list[Skipped]]:
    outcomes = verify_images(images, locations, config.num_workers, progress or (lambda done, total: None))
    readable: list[_Usable] = []
    corrupt: list[Skipped] = []
    for image, outcome in zip(images, outcomes, strict=True):
        if isinstance(outcome, str):
            corrupt.append(Skipped(image.entry.key, outcome, image.source))
        else:
            readable.append(_Usable(image, outcome))
    return readable, corrupt


def _check_corrupt(skipped: list[Skipped], num_found: int, config: DataConfig) -> None:
    share = len(skipped) / max(num_found, 1)
    if share > config.max_corrupt_fraction:
        named = " ".join(item.reason for item in skipped[:_NUM_NAMED])
        raise DataError(
            f"{len(skipped)} of {num_found} images ({share:.1%}) cannot be used, more than "
            f"data.max_corrupt_fraction={config.max_corrupt_fraction:g} allows: {named}",
            "Mend or remove them, or raise data.max_corrupt_fraction to skip them.",
        )


def _drop_smaller(images: list[_Usable], side: float, why: str, skipped: list[Skipped]) -> list[_Usable]:
    kept = []
    for item in images:
        width, height = item.image.width, item.image.height
        if min(width, height) >= side:
            kept.append(item)
        else:
            key = item.found.entry.key
            skipped.append(Skipped(key, f"{key} measures {width}x{height} pixels: {why}.", item.found.source))
    return kept


def _split(images: list[_Usable], num_data_uris: int, config: DataConfig, seed: int) -> list[Split]:
    """Test locations and given test splits are held out, and so is whatever else has the same content."""
    held_out = {
        item.image.sha256
        for item in images
        if item.found.source >= num_data_uris or (config.has_given_split and item.found.split == "test")
    }
    candidates = [
        Candidate(item.image.sha256, item.found.class_name) for item in images if item.image.sha256 not in held_out
    ]
    num_test = _num_test(len({candidate.sha256 for candidate in candidates}), config)
    if num_test:
        held_out |= choose_test_digests(candidates, num_test, seed)
    return ["test" if item.image.sha256 in held_out else "train" for item in images]


def _num_test(num_distinct: int, config: DataConfig) -> int:
    if config.num_test is not None:
        return config.num_test
    if config.has_given_split or config.test_uris or config.test_fraction == 0:
        return 0
    return max(1, round(config.test_fraction * num_distinct))


def _records(
    images: list[_Usable], splits: list[Split], patch_size: int, skipped: list[Skipped]
) -> tuple[ImageRecord, ...]:
    records = []
    for item, split in zip(images, splits, strict=True):
        found, image = item.found, item.image
        if split == "train" and min(image.width, image.height) < patch_size:
            size = f"{image.width}x{image.height}"
            reason = f"{found.entry.key} measures {size} pixels: smaller than a training patch of {patch_size}."
            skipped.append(Skipped(found.entry.key, reason, found.source))
            continue
        facts = (image.width, image.height, image.num_bytes, image.sha256)
        records.append(ImageRecord(found.entry.key, found.source, split, found.class_name, *facts))
    return tuple(records)


def _nothing_to_train_on(locations: Sequence[str], skipped: list[Skipped]) -> DataError:
    reasons = " ".join(item.reason for item in skipped[:_NUM_NAMED])
    return DataError(
        f"No image of {', '.join(locations)} can be used. {reasons}",
        "Give other images; where they are too small, lower data.patch_size or data.scale.",
    )


def _inputs_digest(found: list[FoundImage], locations: Sequence[str], config: DataConfig, seed: int) -> str:
    settings = {
        name: getattr(config, name)
        for name in ("patch_size", "scale_range", "num_test", "test_fraction", "max_corrupt_fraction")
    }
    settings["has_given_split"] = config.has_given_split
    listing = [
        (image.source, image.entry.key, image.entry.num_bytes, image.entry.version, image.class_name, image.split)
        for image in found
    ]
    uris = [open_store(uri).uri for uri in locations]
    return config_digest(_RULES_VERSION, uris, len(config.test_uris), settings, seed, listing)

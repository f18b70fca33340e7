"""The images to evaluate on: listed and verified once, chosen by the seed, and written down as a manifest."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pipelines.catalogue import is_image_key
from pipelines.datasets.build import load_or_build_manifest
from pipelines.datasets.config import SAMPLE_URI, DataConfig, LayoutName
from pipelines.datasets.manifest import ImageRecord, Manifest, read_manifest, write_manifest
from pipelines.datasets.sample import make_sample
from pipelines.datasets.split import Candidate, choose_test_digests
from pipelines.evaluation.config import EvaluatedDataset
from pipelines.evaluation.names import match_names
from pipelines.evaluation.result import DatasetFacts, Failure
from pipelines.progress import Progress, printable
from pipelines.storage import Entry, ObjectDamaged, ObjectMissing, Store, is_local, local_path, open_store
from pipelines.storage.shards import open_images
from rssr.configuration import config_digest
from rssr.degradation import degradation_preset
from rssr.errors import DataError

log = logging.getLogger(__name__)

_NUM_THREADS = 8
_NUM_NAMED = 5  # images quoted in an error


@dataclass(frozen=True)
class OpenDataset:
    """A dataset whose images are known.

    Attributes:
        config: How it is configured.
        facts: What the result says of it.
        manifest: Of the images that are measured, in order.
        known: Keys of all of its images, also those that were not chosen.
        lr_images: LR images of pairs, in the order of the manifest, None where there is none; empty where LR is made.
        lr_sources: Their data locations.
        failures: Images that cannot be used, and why.
        notices: What else a reader must know, in words.
    """

    config: EvaluatedDataset
    facts: DatasetFacts
    manifest: Manifest
    known: tuple[str, ...]
    lr_images: tuple[ImageRecord | None, ...] = ()
    lr_sources: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the images that are measured."""
        return tuple(record.key for record in self.manifest.records)


def open_dataset(config: EvaluatedDataset, home: Store, seed: int) -> OpenDataset:
    """List, verify and choose the images of a dataset, or take those that a manifest names.

    Args:
        config: Of the dataset.
        home: Where manifests go.
        seed: Of the choice.

    Raises:
        DataError: There are no images, or those of a given manifest have changed.
        StorageError: A location cannot be reached.
    """
    with _told_of(config.name):
        if config.manifest is None:
            whole = _list_images(_resolved(config.uri, config, home), config.layout, home)
            chosen = _choose(whole, config, seed)
            known = tuple(record.key for record in whole.records)
        else:
            chosen = _given(config, config.manifest)
            known = tuple(entry.key for entry in _listing(chosen.sources) if is_image_key(entry.key))
        key = _write(chosen, config.name, home)
        facts = _facts(config, chosen, home.describe(key))
        failures = tuple(Failure(config.name, printable(item.key), item.reason) for item in chosen.skipped)
        dataset = OpenDataset(config, facts, chosen, known, failures=failures)
        return dataset if config.lr_uri is None else _with_pairs(dataset, config.lr_uri, home)


@contextmanager
def _told_of(name: str) -> Iterator[None]:
    """Errors name the dataset, and the keys that this job has."""
    try:
        yield
    except DataError as error:
        remedy = error.remedy.replace("; where they are too small, lower data.patch_size or data.scale", "")
        raise DataError(f"Dataset '{name}': {error.problem}", remedy.replace("data.uri", "its uri")) from None


def _resolved(uri: str, config: EvaluatedDataset, home: Store) -> str:
    if uri == SAMPLE_URI:
        return make_sample(config.sample, home)
    return str(local_path(uri)) if is_local(uri) else uri


def _list_images(uri: str, layout: LayoutName, home: Store) -> Manifest:
    """All usable images below a location, read once; the next evaluation finds them in a manifest."""
    config = DataConfig(
        uri=uri,
        layout=layout,
        scale=1.0,  # which images are large enough is seen at each scale
        degradation=degradation_preset("bicubic"),
        test_fraction=0.0,
        max_corrupt_fraction=1.0,
        num_workers=_NUM_THREADS,
    )
    key = f"manifests/{config_digest('evaluation', uri, layout)[:16]}"
    with Progress("reading images") as progress:
        return load_or_build_manifest(home, key, (uri,), config, 0, progress.update)


def _choose(whole: Manifest, config: EvaluatedDataset, seed: int) -> Manifest:
    """As many images as asked for, spread evenly over the classes; then images of equal content count once."""
    records, wanted = whole.records, config.num_images
    if wanted is not None:
        first = {record.sha256: record for record in reversed(records)}
        digests = set(first)
        if wanted < len(first):
            candidates = [Candidate(record.sha256, record.class_name) for record in records]
            digests = choose_test_digests(candidates, wanted, seed)
        elif wanted > len(first):
            log.warning("%s: %d images were asked for, and there are %d", config.name, wanted, len(first))
        records = tuple(record for record in records if record.sha256 in digests and first[record.sha256] is record)
    held_out = tuple(replace(record, split="test") for record in records)
    return replace(whole, records=held_out, inputs_digest="")


def _given(config: EvaluatedDataset, uri: str) -> Manifest:
    """The images of an earlier manifest, none of which may have changed."""
    folder, _, name = uri.rstrip("/").removesuffix("/manifest.json").rpartition("/")
    manifest = read_manifest(open_store(folder or ("/" if uri.startswith("/") else ".")), name)
    held_out = manifest.split("test")
    if not held_out:
        raise DataError(
            f"None of the {len(manifest.records)} images of the manifest {uri} is held out: its test split is empty.",
            "Give the manifest of an evaluation, or of a training that held images out.",
        )
    sources = manifest.sources
    if len(sources) == 1 and "uri" in config.model_fields_set and config.uri != SAMPLE_URI:
        sources = (open_store(config.uri).uri,)  # they may have been moved
    chosen = replace(manifest, records=held_out, sources=sources, skipped=(), inputs_digest="")
    changed = _changed(chosen)
    if changed:
        more = f" and {len(changed) - _NUM_NAMED} more" if len(changed) > _NUM_NAMED else ""
        raise DataError(
            f"{len(changed)} of the {len(chosen.records)} images of the manifest {uri} are no longer what they were: "
            f"{' '.join(changed[:_NUM_NAMED])}{more}",
            "Bring them back, or leave manifest out to list the images anew.",
        )
    return chosen


def _changed(manifest: Manifest) -> list[str]:
    """Why images are not those that the manifest names, in words."""
    stores = [open_images(uri) for uri in manifest.sources]

    def look(record: ImageRecord) -> str:
        store = stores[record.source]
        try:
            data = store.read_bytes(record.key)
        except ObjectMissing:
            return f"{store.describe(record.key)} is gone."
        except ObjectDamaged as error:
            return error.problem
        is_same = hashlib.sha256(data).hexdigest() == record.sha256
        return "" if is_same else f"{store.describe(record.key)} has changed."

    reasons = []
    with ThreadPoolExecutor(_NUM_THREADS) as pool, Progress("verifying images") as progress:
        for done, reason in enumerate(pool.map(look, manifest.records), start=1):
            reasons.append(reason)
            progress.update(done, len(manifest.records))
    return [reason for reason in reasons if reason]


def _listing(sources: Sequence[str]) -> list[Entry]:
    return [entry for uri in sources for entry in open_images(uri).list()]


def _write(manifest: Manifest, name: str, home: Store) -> str:
    """Write the manifest down unless it is there; returns its key."""
    key = f"evaluations/manifests/{name.replace(' ', '_')}-{manifest.digest[:16]}"
    write_manifest(manifest, home, key)
    return key


def _facts(config: EvaluatedDataset, manifest: Manifest, address: str) -> DatasetFacts:
    classes = tuple(sorted({record.class_name for record in manifest.records if record.class_name is not None}))
    return DatasetFacts(
        name=config.name,
        uri=", ".join(manifest.sources),
        manifest=address,
        digest=manifest.digest,
        num_images=len(manifest.records),
        classes=classes,
        has_hr=config.has_hr,
        licence=config.licence,
    )


def _with_pairs(dataset: OpenDataset, lr_uri: str, home: Store) -> OpenDataset:
    """Find the LR image of each HR image by its name."""
    lr = _list_images(_resolved(lr_uri, dataset.config, home), "auto", home)
    skipped = {item.key: item.reason for item in lr.skipped}
    by_key = {record.key: record for record in lr.records}
    match = match_names(dataset.keys, [*by_key, *skipped], dataset.known)
    failures = [
        Failure(dataset.config.name, key, f"It has no LR image in {lr.sources[0]}: {reason or skipped[found or '']}.")
        for key, found, reason in zip(dataset.keys, match.found, match.reasons, strict=True)
        if found not in by_key
    ]
    if len(failures) == len(dataset.keys):
        raise DataError(
            f"None of its {len(failures)} HR images has an LR image in {lr.sources[0]}. {failures[0].reason}",
            "LR images have the names of their HR images; check lr_uri.",
        )
    return replace(
        dataset,
        lr_images=tuple(None if found is None else by_key.get(found) for found in match.found),
        lr_sources=lr.sources,
        failures=(*dataset.failures, *failures),
        notices=told_of_extra(lr.sources[0], match.extra, dataset.config.name),
    )


def told_of_extra(folder: str, keys: Sequence[str], dataset: str) -> tuple[str, ...]:
    """A sentence about images that belong to none of a dataset's; none where there are none.

    Args:
        folder: Where they lie.
        keys: Of the images.
        dataset: Name of the dataset.
    """
    if not keys:
        return ()
    more = f" and {len(keys) - _NUM_NAMED} more" if len(keys) > _NUM_NAMED else ""
    named = ", ".join(map(printable, keys[:_NUM_NAMED]))
    count = "1 image belongs" if len(keys) == 1 else f"{len(keys)} images belong"
    return (f"In {folder}, {count} to none of {dataset}: {named}{more}.",)

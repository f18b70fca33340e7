"""The manifest of Sentinel-2 products: each square of a grid over a product is one image of it."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.config import DataConfig
from pipelines.datasets.manifest import ImageRecord, Manifest, Skipped, Split, read_manifest, write_manifest
from pipelines.datasets.products import FoundProduct, find_products, open_product_files
from pipelines.datasets.scenes_config import ScenesConfig
from pipelines.datasets.split import Candidate, choose_test_digests
from pipelines.storage import ObjectMissing, Store, open_store
from rssr.configuration import config_digest
from rssr.errors import DataError, RasterError
from rssr.raster import Window
from rssr.sentinel2 import Sentinel2Scene, open_sentinel2

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

_RULES_VERSION = 1
_NUM_NAMED = 5  # bad products quoted in an error
_MAX_THREADS = 4  # each decodes whole squares of four bands


@dataclass
class _Squares:
    """What cutting a product gave."""

    windows: list[tuple[Window, str]] = field(default_factory=list)
    num_bytes: int = 0
    num_left_out: int = 0
    notes: Counter[str] = field(default_factory=Counter)


def load_or_build_scene_manifest(
    store: Store, key: str, data_uris: Sequence[str], config: DataConfig, seed: int, progress: Progress
) -> Manifest:
    """The stored manifest where listing, settings and seed are the same; else a new one, stored.

    Args:
        store: Where manifests are kept.
        key: Folder of this one.
        data_uris: What `config.uri` stands for.
        config: Its `scenes` is set.
        seed: Of the split.
        progress: Called with the numbers of products done and of all.

    Raises:
        DataError, StorageError: See `build_scene_manifest`.
    """
    locations = (*data_uris, *config.test_uris)
    found = find_products(locations)
    assert config.scenes is not None  # the caller looks
    digest = scene_inputs_digest(found, locations, config, config.scenes, seed)
    try:
        stored = read_manifest(store, key)
    except (ObjectMissing, DataError):
        stored = None
    if stored is not None and stored.inputs_digest == digest:
        return stored
    manifest = build_scene_manifest(found, data_uris, config, seed, progress)
    write_manifest(manifest, store, key)
    return manifest


def scene_inputs_digest(
    found: Sequence[FoundProduct], locations: Sequence[str], config: DataConfig, scenes: ScenesConfig, seed: int
) -> str:
    """Equal for equal listings, settings and seeds."""
    names = ("num_test", "test_fraction", "max_corrupt_fraction")
    settings = {name: getattr(config, name) for name in names}
    listing = [(item.source, item.name, [vars(entry) for entry in item.entries]) for item in found]
    uris = [open_store(uri).uri for uri in locations]
    return config_digest(_RULES_VERSION, uris, len(config.test_uris), settings, scenes, seed, listing)


def build_scene_manifest(
    found: Sequence[FoundProduct], data_uris: Sequence[str], config: DataConfig, seed: int, progress: Progress
) -> Manifest:
    """Open and read each product once, cut it into squares, and split these.

    Squares of one product may be trained on and held out; they share no pixel.

    Raises:
        DataError: Too many products cannot be used, or no square is left.
        StorageError: A location cannot be reached.
    """
    scenes = config.scenes
    assert scenes is not None  # the caller looks
    locations = (*data_uris, *config.test_uris)
    skipped: list[Skipped] = []
    notes: Counter[str] = Counter()
    drafts: list[ImageRecord] = []
    for number, (product, squares) in enumerate(_cut_all(found, locations, scenes), start=1):
        if isinstance(squares, str):
            skipped.append(Skipped(product.name or locations[product.source], squares, product.source))
        else:
            drafts += _drafts(product, squares, scenes, open_store(locations[product.source]).uri)
            notes += squares.notes
        progress(number, len(found))
    _check_failures(skipped, len(found), config)
    if not drafts:
        raise DataError(
            f"No square of {scenes.tile_size} pixels of the products below {', '.join(locations)} has data enough.",
            "Lower data.scenes.tile_size, or raise data.scenes.max_nodata_fraction.",
        )
    records = _split(drafts, len(data_uris), config, seed)
    sources = tuple(open_store(uri).uri for uri in locations)
    digest = scene_inputs_digest(found, locations, config, scenes, seed)
    return Manifest(sources, records, tuple(skipped), dict(sorted(notes.items())), digest)


def square_key(product: str, window: Window) -> str:
    """Key of a square: `X.SAFE#512,1024,256` begins at row 512 and column 1024 and has 256 pixels a side."""
    return f"{product}#{window.row},{window.column},{window.height}"


def parse_square_key(key: str) -> tuple[str, Window]:
    """The product and window of a `square_key`."""
    product, _, place = key.rpartition("#")
    row, column, side = (int(part) for part in place.split(","))
    return product, Window(row, column, side, side)


def numbers_digest(numbers: NDArray[np.number], valid_mask: NDArray[np.bool_]) -> str:
    """SHA-256 of a square's stored numbers, as its record keeps it."""
    held = np.where(valid_mask, numbers, 0)
    little = held.astype(held.dtype.newbyteorder("<"), copy=False)
    return hashlib.sha256(little.tobytes()).hexdigest()


def _cut_all(
    found: Sequence[FoundProduct], locations: Sequence[str], scenes: ScenesConfig
) -> Iterator[tuple[FoundProduct, "_Squares | str"]]:
    def cut(product: FoundProduct) -> "_Squares | str":
        try:
            files = open_product_files(locations[product.source], product.name)
            with open_sentinel2(files, scenes.bands, declared=scenes.declared, resample=scenes.resample) as scene:
                return _cut(scene, scenes)
        except RasterError as error:
            return str(error)

    with ThreadPoolExecutor(_MAX_THREADS) as pool:
        yield from zip(found, pool.map(cut, found), strict=True)


def _cut(scene: Sentinel2Scene, scenes: ScenesConfig) -> _Squares:
    squares, side = _Squares(), scenes.tile_size
    height, width = scene.info.size
    for row in range(0, height - side + 1, side):
        for column in range(0, width - side + 1, side):
            window = Window(row, column, side, side)
            before = scene.counts.num_saturated
            numbers, valid_mask = scene.read_numbers(window)
            missing = 1 - float(valid_mask.mean())
            if missing > scenes.max_nodata_fraction or not valid_mask.any():
                squares.num_left_out += 1
                continue
            squares.windows.append((window, numbers_digest(numbers, valid_mask)))
            squares.num_bytes = numbers.nbytes
            squares.notes["pixels-without-data-filled"] += missing > 0
            squares.notes["saturated-pixels-filled"] += scene.counts.num_saturated > before
    offsets = ", ".join(f"{offset:g}" for offset in sorted(set(scene.calibration.offsets.values())))
    squares.notes[f"offset {offsets} by {scene.calibration.source}"] += len(squares.windows)
    squares.notes = +squares.notes  # without zeros
    return squares


def _drafts(product: FoundProduct, squares: _Squares, scenes: ScenesConfig, uri: str) -> list[ImageRecord]:
    name = PurePosixPath(product.name or uri).name
    if squares.num_left_out:
        log.info("%s: %d squares left out for missing data", name, squares.num_left_out)
    side = scenes.tile_size
    return [
        ImageRecord(square_key(product.name, window), product.source, "train", name, side, side, squares.num_bytes, sha)
        for window, sha in squares.windows
    ]


def _split(drafts: Sequence[ImageRecord], num_data_uris: int, config: DataConfig, seed: int) -> tuple[ImageRecord, ...]:
    """Everything of test locations is held out, and squares of the others by their content."""
    held_out = {draft.sha256 for draft in drafts if draft.source >= num_data_uris}
    candidates = [Candidate(draft.sha256, draft.class_name) for draft in drafts if draft.sha256 not in held_out]
    num_test = config.num_test
    if num_test is None:
        share = 0.0 if config.test_uris else config.test_fraction
        num_test = max(1, round(share * len({candidate.sha256 for candidate in candidates}))) if share else 0
    if num_test:
        held_out |= choose_test_digests(candidates, num_test, seed)
    splits: dict[bool, Split] = {True: "test", False: "train"}
    return tuple(
        ImageRecord(**{**vars(draft), "split": splits[draft.sha256 in held_out]})
        for draft in sorted(drafts, key=lambda draft: (draft.source, draft.key))
    )


def _check_failures(skipped: Sequence[Skipped], num_found: int, config: DataConfig) -> None:
    share = len(skipped) / num_found
    if share > config.max_corrupt_fraction:
        named = " ".join(item.reason for item in skipped[:_NUM_NAMED])
        raise DataError(
            f"{len(skipped)} of {num_found} products cannot be used, more than "
            f"data.max_corrupt_fraction={config.max_corrupt_fraction:g} allows: {named}",
            "Mend or remove them, or raise data.max_corrupt_fraction to skip them.",
        )

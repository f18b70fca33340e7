"""Whether one product is what the plan and the ledger say: files, digests, place, size, holes and metadata."""

import json
import math
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from pipelines.bulk.records import MARKED_FOLDER, PlannedScene, ProductFile, SceneRecord
from pipelines.storage import Entry, ObjectDamaged, ObjectMissing, Store
from pipelines.storage.product_files import StoredFiles
from rssr.errors import ImageError, RasterError
from rssr.images import probe_image
from rssr.raster import RasterInfo, RasterReader, Window, footprint, ground_sample_distance_m, open_raster

FAILED_WINDOWS_TAG = "RSSR_FAILED_WINDOWS"
"""Of a GeoTIFF: names the windows that are masked in it."""

_WINDOW_KEY = re.compile(r"r\d{4,}c\d{4,}")
_SAMPLE_SIDE = 16  # pixels
_SAMPLES_A_SIDE = 3
_SIZE_TOLERANCE = 1e-3  # of the ground sample distance
_PLACE_TOLERANCE = 0.01  # of the footprint's sides: those of maps are no straight lines in degrees
_ONCE = ("data", "metadata")


@dataclass(frozen=True)
class SceneToCheck:
    """What a scene should have come to; travels to who looks.

    Attributes:
        planned: The scene as planned.
        record: The ledger's entry; None where there is none, or a damaged one.
        listed: Its files as they lie in the output, by key, as far as they do.
    """

    planned: PlannedScene
    record: SceneRecord | None
    listed: Mapping[str, Entry]

    @property
    def name(self) -> str:
        """Of the scene."""
        return self.planned.name

    @property
    def num_bytes(self) -> int:
        """That are read."""
        return sum(entry.num_bytes for entry in self.listed.values())

    def problems(self, store: Store) -> tuple[str, ...]:
        """What is wrong with it, in sentences.

        Raises:
            StorageError: The store cannot be read.
        """
        if self.record is None:
            return ("The ledger has no entry of it, or a damaged one.",)
        return tuple(check_product(store, self.planned, self.record, self.listed))


def check_product(
    store: Store, planned: PlannedScene, record: SceneRecord, listed: Mapping[str, Entry]
) -> Iterator[str]:
    """What is wrong with a product, in sentences.

    Args:
        store: The output.
        planned: The scene as planned.
        record: The ledger's entry.
        listed: All that lies in the output, by key.

    Raises:
        StorageError: The store cannot be read.
    """
    yield from _check_record(planned, record)
    sound = set()
    for file in record.files:
        problem = _check_file(store, file, listed)
        if problem:
            yield problem
        else:
            sound.add(file.key)
    for file in record.files:
        if file.key in sound:
            yield from _check_content(store, file, planned, record)


def _check_record(planned: PlannedScene, record: SceneRecord) -> Iterator[str]:
    """What the ledger's entry says, against the plan."""
    if record.state == "failed":
        if record.files:
            yield "It failed, and yet the ledger names files."
        if not record.reason:
            yield "It failed, and the ledger does not say why."
        return
    if planned.refusal:
        yield f"It was refused ({planned.refusal}), and yet there is a product."
    if record.input_version != planned.scene.version:
        yield "Its product was made from another version of the scene than was planned."
    if record.sr_size != planned.sr_size:
        yield f"The ledger says {_size(record.sr_size)} pixels, the plan {_size(planned.sr_size)}."
    if record.num_tiles != planned.num_tiles:
        yield f"The ledger says {record.num_tiles} tiles, the plan {planned.num_tiles}."
    roles = Counter(str(file.role) for file in record.files)
    yield from (f"The ledger names {roles[role]} files with its {role}." for role in _ONCE if roles[role] != 1)
    if any(file.key.startswith(f"{MARKED_FOLDER}/") != (record.state == "marked") for file in record.files):
        yield f"It is {record.state}, and lies in the wrong folder."
    yield from _check_failed_windows(planned, record)


def _check_failed_windows(planned: PlannedScene, record: SceneRecord) -> Iterator[str]:
    failed = [window.key for window in record.failed_windows]
    if record.state == "done" and failed:
        yield f"It counts as done, and yet {len(failed)} windows failed."
    if record.state == "partial" and not failed:
        yield "It counts as partial, and yet no window failed."
    strange = sorted(set(failed) - set(planned.windows))
    if strange:
        yield f"Windows failed that it does not have: {', '.join(strange)}."


def _check_file(store: Store, file: ProductFile, listed: Mapping[str, Entry]) -> str:
    """What is wrong with a file as bytes; empty where nothing is."""
    where = store.describe(file.key)
    if file.key not in listed:
        return f"{where} is missing."
    if listed[file.key].num_bytes != file.num_bytes:
        return f"{where} has {listed[file.key].num_bytes:,} bytes; the ledger says {file.num_bytes:,}."
    try:
        digest = store.sha256(file.key)
    except ObjectMissing:
        return f"{where} is missing."
    except ObjectDamaged as error:
        return error.problem
    return "" if digest == file.sha256 else f"{where} is not what was written: its SHA-256 differs from the ledger's."


def _check_content(store: Store, file: ProductFile, planned: PlannedScene, record: SceneRecord) -> Iterator[str]:
    where = store.describe(file.key)
    try:
        if file.role == "metadata":
            yield from _check_item(file.key, store.read_bytes(file.key), where, {each.key for each in record.files})
        elif file.role == "thumbnail":
            probe_image(store.read_bytes(file.key), where)
        else:
            source = StoredFiles(store, [file.key], planned.name).raster_source(file.key)
            with open_raster(source, name=where) as reader:
                yield from (f"{where} {problem}." for problem in _check_raster(reader, file.role, planned, record))
    except (RasterError, ImageError) as error:
        yield error.problem


def _check_raster(reader: RasterReader, role: str, planned: PlannedScene, record: SceneRecord) -> Iterator[str]:
    info = reader.info
    size = planned.lr_size if role == "consistency" else planned.sr_size
    if info.size != size:
        yield f"has {_size(info.size)} pixels instead of {_size(size)}"
        return
    yield from _check_place(info, planned)
    if role != "data":
        return
    if info.num_bands != len(planned.band_names):
        yield f"has {info.num_bands} bands instead of {len(planned.band_names)}"
    if info.dtype != planned.dtype:
        yield f"holds {info.dtype} instead of {planned.dtype}"
    tagged = set(_WINDOW_KEY.findall(reader.read_tags().get(FAILED_WINDOWS_TAG, "")))
    if tagged != {window.key for window in record.failed_windows}:
        yield f"names {_named(tagged)} as failed; the ledger {_named(w.key for w in record.failed_windows)}"
    yield from _check_mask(reader, record)


def _check_place(info: RasterInfo, planned: PlannedScene) -> Iterator[str]:
    if (info.crs is None) != (planned.crs is None) or _both_numbered_and_other(info.crs, planned.crs):
        yield f"has the CRS {_short(info.crs)} instead of {_short(planned.crs)}"
        return
    found_m = ground_sample_distance_m(info.transform, info.crs, info.size)
    if found_m is not None and planned.gsd_m is not None:
        expected_m = planned.gsd_m * math.sqrt(math.prod(planned.lr_size) / math.prod(info.size))
        if not math.isclose(found_m, expected_m, rel_tol=_SIZE_TOLERANCE):
            yield f"has pixels of {found_m:.6g} m instead of {expected_m:.6g} m"
    place = footprint(info.transform, info.crs, info.size)
    if place is not None and planned.bounds is not None and not _same_place(place.bbox, planned):
        yield f"lies at {_degrees(place.bbox)} instead of {_degrees(planned.bounds)}"


def _same_place(found: tuple[float, float, float, float], planned: PlannedScene) -> bool:
    assert planned.bounds is not None, "asked only where it is known"
    west, south, east, north = planned.bounds
    sides = ((east - west) % 360, north - south)
    allowed = [
        max(_PLACE_TOLERANCE * side, 2 * side / pixels, 1e-9)
        for side, pixels in zip(sides, reversed(planned.lr_size), strict=True)
    ]
    apart = [abs((one - other + 180) % 360 - 180) for one, other in zip(found, planned.bounds, strict=True)]
    return all(distance <= allowed[number % 2] for number, distance in enumerate(apart))


def _check_mask(reader: RasterReader, record: SceneRecord) -> Iterator[str]:
    """Look here and there: what failed is masked, and what holds data everywhere or nowhere does so."""
    for window in record.failed_windows:
        middle = Window(sum(window.rows) // 2, sum(window.columns) // 2, 1, 1)
        if reader.read(middle).valid_mask.any():
            yield f"has data in the middle of {window.key}, which failed"
    expected = {0.0: False, 1.0: True}.get(record.valid_share)
    if expected is None:
        return
    for place in _samples(reader.info.size):
        if (reader.read(place).valid_mask != expected).any():
            found = "is masked" if expected else "has data"
            yield f"{found} at row {place.row}, column {place.column}, though the ledger says otherwise"
            return


def _samples(size: tuple[int, int]) -> Iterator[Window]:
    """Small windows from corner to corner."""
    height, width = (min(_SAMPLE_SIDE, side) for side in size)
    for row in range(_SAMPLES_A_SIDE):
        for column in range(_SAMPLES_A_SIDE):
            first = [
                (side - extent) * number // (_SAMPLES_A_SIDE - 1)
                for side, extent, number in zip(size, (height, width), (row, column), strict=True)
            ]
            yield Window(first[0], first[1], height, width)


def _check_item(key: str, data: bytes, where: str, files: set[str]) -> Iterator[str]:
    """The STAC item: it can be read, and names the product's files."""
    try:
        item = json.loads(data)
        hrefs = [str(asset["href"]) for asset in item["assets"].values()]
        is_item = item["type"] == "Feature" and bool(item["stac_version"]) and bool(item["id"])
    except (ValueError, TypeError, KeyError, AttributeError):
        is_item, hrefs = False, []
    if not is_item:
        yield f"{where} is no STAC item."
    for href in hrefs:
        if "://" in href or href.startswith("/"):
            continue
        target = posixpath.normpath(posixpath.join(posixpath.dirname(key), href))
        if target not in files and unquote(target) not in files:
            yield f"{where} names {href}, which is no file of the product."


def _both_numbered_and_other(one: str | None, other: str | None) -> bool:
    """Whether two CRS surely differ; texts of those without a number depend on who wrote them."""
    return one != other and all(text is not None and text.startswith("EPSG:") for text in (one, other))


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _degrees(bounds: tuple[float, float, float, float]) -> str:
    return "(" + ", ".join(f"{value:.6f}" for value in bounds) + ")"


def _short(crs: str | None) -> str:
    return "none" if crs is None else crs.partition("\n")[0][:80]


def _named(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys)) or "nothing"

"""Image files alone: one a band, with the band in its name, or one file with several bands."""

import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import PurePosixPath

from rssr.errors import RasterError
from rssr.raster import open_raster
from rssr.sentinel2.bands import band_in_file_name, canonical_band
from rssr.sentinel2.declared import Declared
from rssr.sentinel2.files import ProductFiles
from rssr.sentinel2.product import BandFile, Product, level_of

log = logging.getLogger(__name__)

ENDINGS = (".tif", ".tiff", ".jp2")

_BASELINE_IN_NAME = re.compile(r"_N(\d{4})(?=_|$|\.)")
_DAY_IN_NAME = re.compile(r"(?<!\d)(20\d{2})-?(0[1-9]|1[0-2])-?([0-2]\d|3[01])(?!\d)")


def read_plain(files: ProductFiles, declared: Declared) -> Product:
    """The product of some image files; the processing baseline is that of their names, where these tell.

    Raises:
        RasterError: There is no image, or which bands they hold is unknown.
    """
    keys = [key for key in files.keys if key.lower().endswith(ENDINGS)]
    if not keys:
        raise RasterError(f"{files.name} holds no image.", f"Images end in {', '.join(ENDINGS)}.")
    bands = _one_file(files, keys[0], declared) if len(keys) == 1 else _one_band_a_file(files, keys)
    names = [files.name, *keys]
    return Product(
        name=files.name,
        files=bands,
        level=next((level for name in names if (level := level_of(name))), None),
        baseline=_baseline(files.name, names),
        taken=next((day for name in names if (day := _day(name))), None),
    )


def _one_band_a_file(files: ProductFiles, keys: Sequence[str]) -> dict[str, tuple[BandFile, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        named = band_in_file_name(PurePosixPath(key).name)
        if named is not None:
            found[named[0]].append(key)
    twice = [band for band, held in found.items() if len(held) > 1]
    if twice:
        named_keys = ", ".join(found[twice[0]][:3])
        raise RasterError(f"{files.name} has {twice[0]} more than once: {named_keys}.", "Give one image at a time.")
    if not found:
        raise RasterError(
            f"None of the {len(keys)} images of {files.name} names its band, e.g. B02.", "Rename or stack them."
        )
    return {band: (BandFile(files.raster_source(held[0])),) for band, held in found.items()}


def _one_file(files: ProductFiles, key: str, declared: Declared) -> dict[str, tuple[BandFile, ...]]:
    source = files.raster_source(key)
    with open_raster(source, name=files.name) as reader:
        names = reader.info.band_names
    if declared.file_bands is not None:
        if len(declared.file_bands) > len(names):
            raise RasterError(
                f"{files.name} has {len(names)} bands, but {len(declared.file_bands)} are declared.",
                "Correct file_bands (in a job data.scenes.file_bands).",
            )
        return {band: (BandFile(source, number),) for number, band in enumerate(declared.file_bands)}
    found = {band: number for number, name in enumerate(names) if (band := canonical_band(name)) is not None}
    if found:
        return {band: (BandFile(source, number),) for band, number in found.items()}
    named = band_in_file_name(PurePosixPath(key).name)
    if named is None:
        raise RasterError(
            f"{files.name} does not say which of Sentinel-2's bands it holds ({', '.join(names[:13])}).",
            "Declare them in its order: file_bands=[B04,B03,B02,B08] (in a job data.scenes.file_bands).",
        )
    if len(names) > 1:
        log.warning("%s has %d bands; the first is taken for %s", files.name, len(names), named[0])
    return {named[0]: (BandFile(source),)}


def _baseline(place: str, names: Sequence[str]) -> str | None:
    found = {match.group(1) for name in names if (match := _BASELINE_IN_NAME.search(PurePosixPath(name).name))}
    if len(found) > 1:
        raise RasterError(
            f"The images of {place} are of several processing baselines: {', '.join(sorted(found))}.",
            "Give one product at a time.",
        )
    text = next(iter(found), None)
    return None if text is None else f"{text[:2]}.{text[2:]}"


def _day(name: str) -> date | None:
    match = _DAY_IN_NAME.search(PurePosixPath(name).name)
    try:
        return None if match is None else date(*(int(part) for part in match.groups()))
    except ValueError:
        return None

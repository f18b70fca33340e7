"""ESA's own form: a folder `X.SAFE` with metadata in XML and one JPEG 2000 file a band and resolution.

Read as the product specification has it (S2-PDGS-TAS-DI-PSD): `MTD_MSIL2A.xml` or `MTD_MSIL1C.xml`, and images in
`GRANULE/*/IMG_DATA`, of Level-2A a folder a resolution.
"""

import re
import xml.etree.ElementTree as ElementTree  # expat of Python's supported versions stops entity bombs
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import PurePosixPath

from rssr.errors import RasterError
from rssr.sentinel2.bands import BANDS, RESOLUTION_M, band_in_file_name, canonical_band
from rssr.sentinel2.calibration import NODATA, SATURATED
from rssr.sentinel2.files import ProductFiles
from rssr.sentinel2.product import BandFile, Product, level_of, moments, refused_level

_METADATA = re.compile(r"MTD_MSI(L\d[A-Z])\.xml")
_IMAGE = re.compile(r"GRANULE/([^/]+)/IMG_DATA/(?:R(\d+)m/)?[^/]+\.(?:jp2|tiff?)", re.IGNORECASE)
_OFFSET_TAGS = ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
_QUANTIFICATION_TAGS = ("BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE")

Element = ElementTree.Element


def is_safe(files: ProductFiles) -> bool:
    """Whether this is, or should have been, such a folder."""
    return files.name.rstrip("/").upper().endswith(".SAFE") or _metadata_key(files) is not None


def read_safe(files: ProductFiles) -> Product:
    """The product in a SAFE folder.

    Raises:
        RasterError: It is empty, incomplete, of another level, or its metadata is damaged.
    """
    name = files.name
    if not files.keys:
        raise RasterError(f"{name} is empty.", "Fetch the product again.")
    level_of(name)  # refuses what is no map
    key = _metadata_key(files)
    if key is None:
        raise RasterError(
            f"{name} has no MTD_MSIL2A.xml or MTD_MSIL1C.xml, which says what its numbers mean.",
            "Fetch the whole product, or give its image files alone and declare the processing baseline.",
        )
    root = _parse(files, key)
    level = _level(root, name)
    _check_special_values(root, name)
    quantification = _first_number(root, _QUANTIFICATION_TAGS)
    baseline = _first_text(root, "PROCESSING_BASELINE")
    offsets = _offsets(root, name)
    return Product(
        name=name,
        files=_band_files(files),
        level=level,
        baseline=baseline,
        taken=_day(_first_text(root, "PRODUCT_START_TIME")),
        quantification=quantification,
        offsets=offsets,
        source=f"{PurePosixPath(key).name} of {name}",
        sensed=moments(_first_text(root, "PRODUCT_START_TIME"), _first_text(root, "PRODUCT_STOP_TIME")),
    )


def _metadata_key(files: ProductFiles) -> str | None:
    return next((key for key in files.keys if _METADATA.fullmatch(key)), None)


def _parse(files: ProductFiles, key: str) -> Element:
    data = files.read_bytes(key)
    try:
        if b"<!DOCTYPE" in data:
            raise RasterError(f"{key} of {files.name} declares a document type, which ESA's never do.", "Check it.")
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise RasterError(f"{key} of {files.name} is damaged: {error}.", "Fetch the product again.") from None


def _level(root: Element, name: str) -> str:
    text = _first_text(root, "PROCESSING_LEVEL") or ""
    level = text.replace("Level-", "L")[:3]
    if level in ("L0", "L1A", "L1B"):
        raise refused_level(name, level)
    if level not in ("L1C", "L2A"):
        raise RasterError(f"{name} is of processing level {text or 'unknown'!r}.", "Give a Level-1C or 2A product.")
    return level


def _check_special_values(root: Element, name: str) -> None:
    """The two numbers that mean something else are the same in all products; others would be taken for reflectance."""
    for special in _all(root, "Special_Values"):
        text, index = _first_text(special, "SPECIAL_VALUE_TEXT"), _first_text(special, "SPECIAL_VALUE_INDEX")
        expected = {"NODATA": NODATA, "SATURATED": SATURATED}.get(text or "")
        if expected is not None and index != str(expected):
            raise RasterError(f"{name} marks {text} with {index} instead of {expected}.", "Check its metadata.")


def _offsets(root: Element, name: str) -> dict[str, float] | None:
    """By band; None where the metadata knows no offset, as before processing baseline 04.00, which then decides."""
    bands = _bands_by_number(root)
    found = [element for tag in _OFFSET_TAGS for element in _all(root, tag)]
    offsets: dict[str, float] = {}
    for element in found:
        band = bands.get(element.get("band_id", ""))
        try:
            offset = float(element.text or "")
        except ValueError:
            band = None
        if band is None:
            raise RasterError(f"{name} has an offset that cannot be read.", "Fetch the product again.")
        offsets[band] = offset
    return offsets or None


def _bands_by_number(root: Element) -> Mapping[str, str]:
    """Names of bands by `band_id`, as the metadata lists them, else in the usual order."""
    usual = {str(number): band for number, band in enumerate(BANDS)}
    listed = {
        element.get("bandId", ""): canonical_band(element.get("physicalBand", ""))
        for element in _all(root, "Spectral_Information")
    }
    return usual | {number: band for number, band in listed.items() if band is not None}


def _band_files(files: ProductFiles) -> dict[str, tuple[BandFile, ...]]:
    found: dict[str, list[BandFile]] = defaultdict(list)
    granules = set()
    for key in files.keys:
        match = _IMAGE.fullmatch(key)
        named = band_in_file_name(PurePosixPath(key).name) if match else None
        if match is None or named is None:
            continue
        granules.add(match.group(1))
        resolution = int(match.group(2)) if match.group(2) else RESOLUTION_M[named[0]]
        found[named[0]].append(BandFile(files.raster_source(key), 0, resolution))
    if len(granules) > 1:
        raise RasterError(
            f"{files.name} holds {len(granules)} tiles, as products before 2016 do.", "Give one tile at a time."
        )
    return {band: tuple(held) for band, held in found.items()}


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:
        return None


def _all(root: Element, tag: str) -> Iterator[Element]:
    """Elements of a name, in whatever namespace."""
    return (element for element in root.iter() if str(element.tag).rpartition("}")[2] == tag)


def _first_text(root: Element, tag: str) -> str | None:
    element = next(_all(root, tag), None)
    return None if element is None else (element.text or "").strip()


def _first_number(root: Element, tags: Sequence[str]) -> float | None:
    for tag in tags:
        text = _first_text(root, tag)
        if text:
            try:
                return float(text)
            except ValueError:
                raise RasterError(f"{tag} is {text!r:.40}.", "Fetch the product's metadata again.") from None
    return None

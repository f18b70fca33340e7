"""Sentinel-2's bands: their names in products, catalogues and files, and their resolutions."""

import re

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""In the order of the metadata's band numbers, 0 to 12."""

RESOLUTION_M = {"B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20, "B08": 10, "B8A": 20}
RESOLUTION_M |= {"B09": 60, "B10": 60, "B11": 20, "B12": 20}

_COMMON_NAMES = {"coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge2": "B06"}
_COMMON_NAMES |= {"rededge3": "B07", "nir": "B08", "nir08": "B8A", "nir09": "B09", "cirrus": "B10"}
_COMMON_NAMES |= {"swir16": "B11", "swir22": "B12"}

_NAME = r"B(?:0?[1-9]|1[0-2]|8A)"
_WHOLE_NAME = re.compile(_NAME, re.IGNORECASE)
_WITHIN_NAME = re.compile(rf"(?<![A-Za-z0-9])({_NAME})(?![A-Za-z0-9])", re.IGNORECASE)


def canonical_band(name: str) -> str | None:
    """`B02` for B2, b02, blue and the like; None for what is no band of Sentinel-2."""
    plain = name.strip()
    if _WHOLE_NAME.fullmatch(plain):
        digits = plain[1:].upper()
        return "B8A" if digits == "8A" else f"B{int(digits):02d}"
    return _COMMON_NAMES.get(plain.lower())


def band_in_file_name(name: str) -> tuple[str, str] | None:
    """The one band that a file's name mentions, and the name with `{band}` in its place; None for none or several.

    Example: `T32TPT_20220603_B02_10m.jp2` gives `B02` and `T32TPT_20220603_{band}_10m.jp2`.
    """
    found = list(_WITHIN_NAME.finditer(name))
    if len(found) != 1:
        return None
    band = canonical_band(found[0].group(1))
    start, stop = found[0].span(1)
    return None if band is None else (band, f"{name[:start]}{{band}}{name[stop:]}")

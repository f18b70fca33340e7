"""STAC items of Sentinel-2 whose assets are cloud-optimised GeoTIFFs, e.g. of Element 84's Earth Search.

Archives that took the 1000 of processing baseline 04.00 out of the pixels say so in `earthsearch:boa_offset_applied`,
and some of their items go on declaring the offset in `raster:bands` nevertheless (Element84/earth-search#71); the
statement about the pixels is then taken, and the pixels are asked.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from rssr.errors import RasterError
from rssr.sentinel2.bands import RESOLUTION_M, canonical_band
from rssr.sentinel2.calibration import parse_baseline
from rssr.sentinel2.files import ProductFiles
from rssr.sentinel2.product import BandFile, Product, moments

_APPLIED = "earthsearch:boa_offset_applied"
_BASELINE = "s2:processing_baseline"

Json = Mapping[str, Any]


def item_key(files: ProductFiles) -> str | None:
    """The one file that can be an item."""
    found = [key for key in files.keys if key.lower().endswith(".json")]
    return found[0] if len(found) == 1 else None


def read_item(files: ProductFiles, key: str) -> Product:
    """The product that an item describes.

    Raises:
        RasterError: It is no item, or not of Sentinel-2, or contradicts itself.
    """
    item = _parse(files, key)
    properties = item.get("properties") or {}
    name = f"{files.name} ({item.get('id', key)})"
    baseline = properties.get(_BASELINE)
    if baseline is not None:
        parse_baseline(str(baseline))
    found: dict[str, BandFile] = {}
    scales: dict[str, tuple[float, float]] = {}
    for band, asset in band_assets(item):
        found[band] = BandFile(files.linked_source(key, str(asset["href"])), 0, _resolution(band, asset))
        declared = _scale_and_offset(asset)
        if declared is not None:
            scales[band] = declared
    if not found:
        raise RasterError(f"{name} has no asset that is a band of Sentinel-2.", "Give an item of Sentinel-2.")
    quantification, offsets, source = _meaning(name, properties, found, scales)
    return Product(
        name=name,
        files={band: (file,) for band, file in found.items()},
        level={"S2MSI1C": "L1C", "S2MSI2A": "L2A"}.get(str(properties.get("s2:product_type"))),
        baseline=None if baseline is None else str(baseline),
        taken=_day(properties.get("datetime")),
        quantification=quantification,
        offsets=offsets,
        source=source,
        sensed=moments(properties.get("datetime"), None)
        or moments(properties.get("start_datetime"), properties.get("end_datetime")),
    )


def _parse(files: ProductFiles, key: str) -> Json:
    try:
        item = json.loads(files.read_bytes(key))
    except ValueError:
        raise RasterError(f"{key} of {files.name} is not JSON.", "Give a STAC item.") from None
    if not isinstance(item, dict) or "stac_version" not in item or not isinstance(item.get("assets"), dict):
        raise RasterError(f"{key} of {files.name} is no STAC item.", "Give an item: it has stac_version and assets.")
    return item


def band_assets(item: Json) -> Iterator[tuple[str, Json]]:
    """The assets of an item that are bands of Sentinel-2, by band; GeoTIFFs before JPEG 2000 files of the same band."""
    seen: set[str] = set()
    assets = sorted(item["assets"].items(), key=lambda entry: str(entry[1].get("href", "")).lower().endswith(".jp2"))
    for key, asset in assets:
        band = _band_of(key, asset)
        is_image = str(asset.get("href", "")).lower().endswith((".tif", ".tiff", ".jp2"))
        if band is not None and is_image and band not in seen:
            seen.add(band)
            yield band, asset


def _band_of(key: str, asset: Json) -> str | None:
    """By the asset's key, else by the one band it lists."""
    if (named := canonical_band(key.removesuffix("-jp2"))) is not None:
        return named
    listed = asset.get("eo:bands") or asset.get("bands") or []
    return canonical_band(str(listed[0].get("name", ""))) if len(listed) == 1 else None


def _resolution(band: str, asset: Json) -> int:
    listed = asset.get("raster:bands") or [{}]
    value = asset.get("gsd") or listed[0].get("spatial_resolution")
    return RESOLUTION_M[band] if value is None else round(float(value))


def _scale_and_offset(asset: Json) -> tuple[float, float] | None:
    listed = (asset.get("raster:bands") or asset.get("bands") or [{}])[0]
    scale = listed.get("scale", listed.get("raster:scale"))
    if scale is None:
        return None
    return float(scale), float(listed.get("offset", listed.get("raster:offset", 0.0)))


def _meaning(
    name: str, properties: Json, found: Mapping[str, BandFile], scales: Mapping[str, tuple[float, float]]
) -> tuple[float | None, dict[str, float] | None, str]:
    """Quantification, offsets in stored numbers, and who says so."""
    distinct = {round(1 / scale, 3) for scale, _ in scales.values() if scale > 0}
    if len(distinct) > 1 or any(scale <= 0 for scale, _ in scales.values()):
        raise RasterError(f"{name} scales its bands differently: {sorted(distinct)}.", "Check its raster:bands.")
    quantification = distinct.pop() if distinct else None
    declared = {band: round(offset / scale, 3) for band, (scale, offset) in scales.items()}
    if properties.get(_APPLIED) is True:
        also = " (against its raster:bands, which would subtract it again)" if any(declared.values()) else ""
        return quantification, dict.fromkeys(found, 0.0), f"{_APPLIED}{also}"
    if declared.keys() >= found.keys():
        return quantification, declared, "raster:bands of the STAC item"
    return quantification, None, ""


def _day(text: object) -> date | None:
    try:
        return date.fromisoformat(str(text)[:10])
    except ValueError:
        return None

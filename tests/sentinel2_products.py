"""Small Sentinel-2 products, written as ESA and archives write them: nothing is downloaded."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

Numbers = NDArray[np.uint16]

FOUR = ("B02", "B03", "B04", "B08")
PLACE = Affine(10, 0, 600_000, 0, -10, 5_100_000)
CRS = "EPSG:32632"
_ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_BRIGHTNESS = {"B02": 0.08, "B03": 0.1, "B04": 0.12, "B08": 0.3}


def imagined_numbers(size: tuple[int, int] = (192, 160), seed: int = 0, offset: float = -1000) -> dict[str, Numbers]:
    """Stored numbers of fields with sharp borders, texture and dark water, by band."""
    generator = np.random.default_rng(seed)
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    fields = generator.random((height // 16 + 2, width // 16 + 2))[rows // 16, columns // 16]
    water = (np.abs(rows - height / 2 - 10 * np.sin(columns / 20)) < 8).astype(float)
    numbers = {}
    for band in FOUR:
        texture = generator.normal(0, 0.004, size)
        reflectance = (0.3 + fields) * _BRIGHTNESS[band] * (1 - water) + water * 0.012 + texture
        numbers[band] = np.clip(np.rint(reflectance * 10_000 - offset), 1, 65_534).astype(np.uint16)
    return numbers


def write_safe(folder: Path, numbers: Mapping[str, NDArray[Any]] | None = None, **about: Any) -> Path:  # see below
    """A SAFE folder below `folder`.

    Args:
        folder: Where it shall lie.
        numbers: Stored numbers by band; 60 m and 20 m bands as large as they are.
        **about: `level` (L2A), `baseline` (05.09), `offset` (-1000; None writes none), `tile` (T32TPT), `day`
            (20230603), `crs` by band.
    """
    level, baseline = about.get("level", "L2A"), about.get("baseline", "05.09")
    tile, day = about.get("tile", "T32TPT"), about.get("day", "20230603")
    name = f"S2A_MSI{level}_{day}T102601_N{baseline.replace('.', '')}_R108_{tile}_{day}T163455.SAFE"
    images = folder / name / "GRANULE" / f"{level}_{tile}_A041" / "IMG_DATA"
    held = imagined_numbers() if numbers is None else numbers
    finest = max(len(values) for values in held.values())
    for band, values in held.items():
        resolution = 10 * finest // len(values)
        inside = images / f"R{resolution}m" if level == "L2A" else images
        suffix = f"_{resolution}m" if level == "L2A" else ""
        crs = about.get("crs", {}).get(band, CRS)
        write_jp2(inside / f"{tile}_{day}T102601_{band}{suffix}.jp2", values, resolution / 10, crs)
    images.mkdir(parents=True, exist_ok=True)
    text = _metadata(level, baseline, about.get("offset", -1000), day)
    (folder / name / f"MTD_MSI{level}.xml").write_text(text)
    return folder / name


def write_jp2(path: Path, values: NDArray[Any], step: float = 1, crs: str = CRS) -> None:
    """One band, lossless."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "BLOCKXSIZE": 64, "BLOCKYSIZE": 64}
    _write(path, values[None], PLACE @ Affine.scale(step), crs, options)


def write_cog(path: Path, values: NDArray[Any], names: Sequence[str] = (), crs: str = CRS) -> None:
    """One band, or several [C, H, W] with names, as a cloud-optimised GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stacked = values[None] if values.ndim == 2 else values
    _write(path, stacked, PLACE, crs, {"driver": "COG", "blocksize": 128}, names)


def write_item(
    folder: Path,
    numbers: Mapping[str, NDArray[Any]],
    raster: Mapping[str, float] | None,
    **properties: Any,  # whatever an item can say
) -> Path:
    """A STAC item as Earth Search writes them, beside its COGs."""
    keys = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir"}
    assets = {}
    for band, values in numbers.items():
        write_cog(folder / f"{band}.tif", values)
        assets[keys[band]] = {"href": f"./{band}.tif", "eo:bands": [{"name": keys[band]}]}
        if raster is not None:
            assets[keys[band]]["raster:bands"] = [{"nodata": 0, **raster}]
    assets["thumbnail"] = {"href": "./thumbnail.jpg"}
    told = {"datetime": "2023-06-03T10:26:01Z", "s2:product_type": "S2MSI2A"} | properties
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "S2A_32TPT", "properties": told, "assets": assets}
    path = folder / "item.json"
    path.write_text(json.dumps(item))
    return path


def _write(
    path: Path, values: NDArray[Any], place: Affine, crs: str, options: Mapping[str, Any], names: Sequence[str] = ()
) -> None:
    count, height, width = values.shape
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype.name}
    with rasterio.open(path, "w", transform=place, crs=crs, **shape, **options) as dataset:
        dataset.write(values)
        if names:
            dataset.descriptions = tuple(names)


def _metadata(level: str, baseline: str, offset: float | None, day: str) -> str:
    tag, kind = ("BOA_ADD_OFFSET", "BOA_") if level == "L2A" else ("RADIO_ADD_OFFSET", "")
    offsets = (
        ""
        if offset is None
        else "".join(f'<{tag} band_id="{number}">{offset:g}</{tag}>' for number in range(len(_ORDER)))
    )
    listed = "".join(
        f'<Spectral_Information bandId="{number}" physicalBand="{band.replace("B0", "B")}"/>'
        for number, band in enumerate(_ORDER)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level[1:]}.xsd">
 <n1:General_Info>
  <Product_Info>
   <PRODUCT_START_TIME>{day[:4]}-{day[4:6]}-{day[6:]}T10:26:01.024Z</PRODUCT_START_TIME>
   <PROCESSING_LEVEL>Level-{level[1:]}{"p" if level == "L2X" else ""}</PROCESSING_LEVEL>
   <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
  </Product_Info>
  <Product_Image_Characteristics>
   <Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
   <Special_Values>
    <SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
   </Special_Values>
   <QUANTIFICATION_VALUES_LIST>
    <{kind}QUANTIFICATION_VALUE unit="none">10000</{kind}QUANTIFICATION_VALUE>
   </QUANTIFICATION_VALUES_LIST>
   {offsets}
   <Spectral_Information_List>{listed}</Spectral_Information_List>
  </Product_Image_Characteristics>
 </n1:General_Info>
</n1:Level_User_Product>
"""

"""A product's files as assets of its STAC item."""

import math
import posixpath
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pystac import Asset, MediaType
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension

from pipelines.bulk.products.product_facts import ProductFacts
from pipelines.bulk.records import FileRole, ProductFile
from rssr.raster import RasterInfo, ground_sample_distance_m

_TITLES: Mapping[FileRole, str] = {
    "data": "Super-resolved image",
    "uncertainty": "How far each pixel may be off",
    "consistency": "Distance from the scene on its own grid",
    "thumbnail": "Thumbnail",
}
_DESCRIPTIONS: Mapping[FileRole, str] = {
    "uncertainty": "Half-width that holds 68 % of the errors, in units of the stored numbers.",
    "consistency": "Mean absolute difference, over the model's bands, between the image taken back to the scene's grid "
    "and the scene, in units of the stored numbers.",
}
_MULTIHASH = "1220"  # sha2-256, 32 bytes


def add_assets(item: Any, product: ProductFacts) -> None:  # noqa: ANN401  # pystac.Item, which is generic in Any
    """Add a product's files to its item; the item itself is none of them."""
    folder = posixpath.dirname(item_key(product))
    for file in product.record.files:
        if file.role != "metadata":
            item.add_asset(file.role, _asset(file, folder))
            asset = item.assets[file.role]
            FileExtension.ext(asset, add_if_missing=True).apply(
                checksum=f"{_MULTIHASH}{file.sha256}", size=file.num_bytes
            )
            if file.role in product.layers:
                _describe(asset, file.role, product)


def item_key(product: ProductFacts) -> str:
    """Where the item lies: beside the image."""
    image = next(file.key for file in product.record.files if file.role == "data")
    return f"{posixpath.splitext(image)[0]}.json"


def _asset(file: ProductFile, folder: str) -> Asset:
    return Asset(
        href=f"./{quote(posixpath.relpath(file.key, folder or '.'))}",
        title=_TITLES[file.role],
        description=_DESCRIPTIONS.get(file.role),
        media_type=MediaType.PNG if file.role == "thumbnail" else MediaType.COG,
        roles=[file.role],
    )


def _describe(asset: Asset, role: FileRole, product: ProductFacts) -> None:
    """What a layer's numbers mean, and where its pixels lie if not where those of the image do."""
    info = product.layers[role]
    asset.extra_fields["bands"] = [_band(info, number) for number in range(info.num_bands)]
    asset.extra_fields["raster:sampling"] = "area"
    if role == "data":
        for band, source, projected in zip(
            asset.extra_fields["bands"], product.sources, product.projected, strict=True
        ):
            band |= {"rssr:source": source, "rssr:projected": projected}
    if info.size != product.info.size:
        projection = ProjectionExtension.ext(asset)
        projection.shape = list(info.size)
        projection.transform = list(info.transform)[:6] if info.crs is not None else None
        asset.common_metadata.gsd = ground_sample_distance_m(info.transform, info.crs, info.size)


def _band(info: RasterInfo, number: int) -> dict[str, Any]:
    band: dict[str, Any] = {"name": info.band_names[number], "data_type": info.dtype}
    if info.nodata is not None:
        band["nodata"] = plain_number(info.nodata)
    if info.radiometry.declared:
        band["raster:scale"] = info.radiometry.scales[number]
        band["raster:offset"] = info.radiometry.offsets[number]
    return band


def plain_number(value: float) -> float | int | str:
    """A number as JSON has it; those that it has not, in words."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return int(value) if value.is_integer() else value

"""The STAC item of a product: where and when it is, what its files hold, and how they were made.

An item follows from the plan, the product and the run's identity alone: made again, it is the same to the byte. It is
checked against the core of the specification with the schemas that pystac brings; nothing is fetched.
"""

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pystac import Item, Link, MediaType, STACObjectType
from pystac.extensions.projection import ProjectionExtension
from pystac.validation import JsonSchemaSTACValidator

from pipelines.bulk.products.product_facts import INTERPOLATION, ProductFacts
from pipelines.bulk.products.stac_assets import add_assets
from pipelines.bulk.records import RunIdentity
from rssr.card import ModelCard
from rssr.raster import footprint, ground_sample_distance_m, wkt2_text

PROCESSING_SCHEMA = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
RASTER_SCHEMA = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"  # pystac knows 1.1, without `bands`

GENERATIVE = "Generative, not measured: detail beyond the input's resolution is estimated."
INTERPOLATED = "Interpolated, not measured: there is no detail beyond the input's resolution."

_LEVEL = "L4"  # output of models, "not directly measured by the instruments"
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)  # no image from above that anybody runs is older
_CARD_FACTS = {"method", "bands", "dtype", "scale_range", "gsd_range_m", "uncertainty", "tile_dependence", "licence"}
_MEDIA_TYPES = {".json": MediaType.GEOJSON, ".jp2": MediaType.JPEG2000, ".tif": MediaType.GEOTIFF}
_MEDIA_TYPES |= {".tiff": MediaType.GEOTIFF, ".png": MediaType.PNG, ".jpg": MediaType.JPEG, ".jpeg": MediaType.JPEG}


def stac_item(product: ProductFacts, run: RunIdentity, card: ModelCard | None = None) -> dict[str, Any]:
    """The item of a product, checked.

    `datetime` is when the image was taken, where its metadata tell that. Otherwise it is null, which asks for a range
    that holds it: the day, where that is known, else all the time up to when the run was planned.

    Args:
        product: What was made.
        run: In which run; `created` is when that was planned.
        card: Of the model; None where it has none.

    Raises:
        pystac.errors.STACValidationError: The item breaks the specification.
    """
    info, planned_at = product.info, datetime.fromisoformat(run.planned_at)
    place = footprint(info.transform, info.crs, info.size)
    first, last = product.acquired or (_EARLIEST, planned_at)
    item = Item(
        id=_identifier(product.planned.name),
        geometry=None if place is None else place.geometry,
        bbox=None if place is None else list(place.bbox),
        datetime=first if first == last else None,
        properties={},
        start_datetime=None if first == last else first,
        end_datetime=None if first == last else last,
        stac_extensions=[PROCESSING_SCHEMA, RASTER_SCHEMA],
    )
    common = item.common_metadata
    common.title, common.description = product.planned.name, _description(product, run)
    common.created, common.license = planned_at, str(run.values["products"]["licence"])
    common.gsd = ground_sample_distance_m(info.transform, info.crs, info.size)
    item.properties |= _processing(product, run) | _measures(product) | _model(product, run, card)
    _set_projection(item, product)
    add_assets(item, product)
    item.add_link(_source(product))
    item.stac_extensions.sort()
    values = item.to_dict(include_self_link=False, transform_hrefs=False)
    _validator().validate_core(values, STACObjectType.ITEM, values["stac_version"])
    return values


def item_bytes(item: dict[str, Any]) -> bytes:
    """An item as it is written: the same bytes for the same values."""
    return json.dumps(item, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


@functools.cache
def _validator() -> JsonSchemaSTACValidator:
    """Of the core alone, whose schemas pystac brings; those of extensions it would fetch."""
    return JsonSchemaSTACValidator()


def _identifier(name: str) -> str:
    """A scene's name as an id that fits into addresses, as unlike others as the name is."""
    plain = re.sub(r"[^\w.-]+", "_", name)
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _description(product: ProductFacts, run: RunIdentity) -> str:
    made = INTERPOLATED if run.model == INTERPOLATION else GENERATIVE
    return f"{product.planned.name}, super-resolved {product.scale:g} times by {run.model}. {made}"


def _processing(product: ProductFacts, run: RunIdentity) -> dict[str, Any]:
    planned, record = product.planned, product.record
    lineage = (
        f"{planned.scene.uri} ({planned.lr_size[1]} x {planned.lr_size[0]} pixels) was super-resolved to "
        f"{product.info.size[1]} x {product.info.size[0]} pixels by {run.model}, in {record.num_tiles} overlapping "
        f"tiles of {planned.tile_size} pixels with a halo of {planned.halo}."
    )
    return {
        "processing:lineage": lineage,
        "processing:level": _LEVEL,
        "processing:software": dict(run.software),
        "rssr:settings": {**run.values, "products": _without_addresses(run.values["products"])},
    }


def _without_addresses(products: Mapping[str, Any]) -> dict[str, Any]:
    """What products call an address would tell the address."""
    return {name: value for name, value in products.items() if name != "called"}


def _measures(product: ProductFacts) -> dict[str, Any]:
    record = product.record
    failed = [
        {"window": window.key, "reason": window.reason, "rows": list(window.rows), "columns": list(window.columns)}
        for window in record.failed_windows
    ]
    found: dict[str, Any] = {
        "rssr:state": record.state,
        "rssr:seam_score": _six_digits(record.seam_score),
        "rssr:valid_share": _six_digits(record.valid_share),
        "rssr:failed_windows": failed,
        "rssr:input_version": record.input_version,
    }
    if record.reason:
        found["rssr:reason"] = record.reason
    if record.mean_consistency is not None:
        found["rssr:consistency_mean"] = _six_digits(record.mean_consistency)
    return found


def _six_digits(value: float) -> float:
    return float(f"{value:.6g}")


def _model(product: ProductFacts, run: RunIdentity, card: ModelCard | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rssr:model": run.model,
        "rssr:scale": product.scale,
        "rssr:generative": run.model != INTERPOLATION,
    }
    if product.planned.gsd_m is not None:
        found["rssr:input_gsd"] = product.planned.gsd_m
    if run.model_digest:
        found["rssr:model_digest"] = run.model_digest
    if card is not None:
        told = card.model_dump(mode="json", include=_CARD_FACTS)
        found["rssr:model_card"] = {"name": card.name, **told, "official_weights": not card.unofficial_weights}
    return found


def _set_projection(item: Item, product: ProductFacts) -> None:
    info = product.info
    has_code = info.crs is not None and re.fullmatch(r"[A-Z]+:\w+", info.crs) is not None
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code=info.crs if has_code else None,
        wkt2=None if info.crs is None or has_code else wkt2_text(info.crs),
        shape=list(info.size),
        transform=list(info.transform)[:6] if info.crs is not None else None,
    )


def _source(product: ProductFacts) -> Link:
    """Link to what the product was made from: a STAC item, a folder or an image."""
    uri = product.planned.scene.uri
    href = quote(uri, safe=":/%@&=+,;~()!*'$") if "://" in uri else Path(uri).absolute().as_uri()
    media_type = next((kind for ending, kind in _MEDIA_TYPES.items() if uri.lower().endswith(ending)), None)
    return Link("derived_from", href, media_type, "The scene that was super-resolved")

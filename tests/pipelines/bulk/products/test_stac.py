import json
import re
import socket
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pystac
import pytest
from affine import Affine
from pystac.errors import STACValidationError
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension

from pipelines.bulk.products.product_facts import ProductFacts
from pipelines.bulk.products.stac import GENERATIVE, INTERPOLATED, item_bytes, stac_item
from pipelines.bulk.records import InputScene, RunIdentity
from tests.pipelines.bulk.made_products import PLACE, facts, image_info
from tests.pipelines.bulk.made_runs import PLANNED_AT, card, config, identity

# Rules of the extensions, as their specifications have them.
_PROCESSING = {
    "required": ["processing:lineage", "processing:level", "processing:software"],
    "properties": {
        "processing:lineage": {"type": "string"},
        "processing:level": {"enum": ["RAW", "L0", "L1", "L1A", "L1B", "L1C", "L2", "L2A", "L3", "L4"]},
        "processing:software": {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1},
    },
    "patternProperties": {"^(?!processing:)": True},
    "additionalProperties": False,
}
_PROJECTION = {
    "required": ["proj:code", "proj:shape"],
    "properties": {
        "proj:code": {"type": ["string", "null"], "pattern": "^[A-Z]+:[0-9]+$"},
        "proj:wkt2": {"type": "string"},
        "proj:shape": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        "proj:transform": {"type": "array", "items": {"type": "number"}, "minItems": 6, "maxItems": 6},
    },
}
_FILE = {
    "required": ["file:checksum", "file:size"],
    "properties": {
        "file:checksum": {"type": "string", "pattern": "^1220[0-9a-f]{64}$"},
        "file:size": {"type": "integer", "minimum": 0},
    },
}
_RASTER = {
    "required": ["bands"],
    "properties": {
        "bands": {
            "type": "array",
            "items": {
                "required": ["name", "data_type"],
                "properties": {"raster:scale": {"type": "number"}, "raster:offset": {"type": "number"}},
            },
        },
        "raster:sampling": {"enum": ["area", "point"]},
    },
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks somebody fails."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def made(product: ProductFacts | None = None, run: RunIdentity | None = None, **more: Any) -> dict[str, Any]:
    return stac_item(product or facts(), run or identity(), more.get("card", card()))


def test_an_item_keeps_the_specification_and_the_rules_of_its_extensions() -> None:
    item = made()
    pystac.validation.JsonSchemaSTACValidator().validate_core(item, pystac.STACObjectType.ITEM, "1.1.0")
    jsonschema.validate(item["properties"], _PROCESSING)
    jsonschema.validate(item["properties"], _PROJECTION)
    for asset in item["assets"].values():
        jsonschema.validate(asset, _FILE)
    for role in ("data", "consistency"):
        jsonschema.validate(item["assets"][role], _RASTER)
    prefixes = {"processing", "projection", "raster", "file"}
    assert {url.split("/")[3] for url in item["stac_extensions"]} == prefixes
    assert item["stac_extensions"] == sorted(item["stac_extensions"])


def test_made_again_an_item_is_the_same_to_the_byte() -> None:
    product = facts()
    later = replace(product.record, finished_at="2027-01-01T00:00:00Z", worker="other:1", compute_s=1.0, write_s=2.0)
    first, second = item_bytes(made(product)), item_bytes(made(replace(product, record=later)))
    assert first == second
    assert PLANNED_AT in json.loads(first)["properties"]["created"]


def test_pystac_reads_it_back() -> None:
    item = pystac.Item.from_dict(json.loads(item_bytes(made())))
    assert ProjectionExtension.ext(item).epsg == 32632
    assert FileExtension.ext(item.assets["data"]).size == 4321
    assert item.assets["data"].media_type == pystac.MediaType.COG
    assert {key: asset.roles for key, asset in item.assets.items()} == {
        "data": ["data"],
        "consistency": ["consistency"],
        "thumbnail": ["thumbnail"],
    }


def test_assets_lie_beside_the_item() -> None:
    assert made()["assets"]["data"]["href"] == "./T32TQS.tif"
    assert made(facts(state="marked"))["assets"]["consistency"]["href"] == "./T32TQS_consistency.tif"
    assert made(facts("a b#1%"))["assets"]["thumbnail"]["href"] == "./a%20b%231%25.png"


def test_ids_fit_into_addresses_and_differ_where_names_do() -> None:
    names = ["T32TQS", "2026/T32TQS", "2026_T32TQS", "2026 T32TQS", "2026//T32TQS"]
    ids = [made(facts(name))["id"] for name in names]
    assert ids[0] == "T32TQS" and ids[2] == "2026_T32TQS"
    assert len(set(ids)) == len(names) and all(re.fullmatch(r"[\w.-]+", name) for name in ids)


def test_the_place_is_the_footprint_of_the_pixels() -> None:
    item = made()
    west, south, east, north = item["bbox"]
    assert 10.2 < west < east < 10.4 and 46.9 < south < north < 47.0
    assert item["geometry"]["type"] == "Polygon"
    assert item["properties"]["proj:shape"] == [1000, 1200]
    assert item["properties"]["proj:transform"] == [2.5, 0.0, 600_000.0, 0.0, -2.5, 5_200_000.0]
    assert item["properties"]["gsd"] == pytest.approx(2.5) and item["properties"]["rssr:input_gsd"] == 10.0
    consistency = item["assets"]["consistency"]
    assert consistency["proj:shape"] == [250, 300] and consistency["gsd"] == pytest.approx(10)
    assert consistency["proj:transform"][0] == 10.0 and "proj:code" not in consistency


def test_a_turned_product_has_a_turned_outline() -> None:
    turned = PLACE @ Affine.rotation(30)
    upright, aslant = made(), made(facts(info=image_info(place=turned)))
    assert aslant["bbox"][2] - aslant["bbox"][0] > 1.2 * (upright["bbox"][2] - upright["bbox"][0])
    assert aslant["properties"]["gsd"] == pytest.approx(2.5)


def test_without_a_crs_there_is_no_geometry_and_no_bbox() -> None:
    item = made(facts(info=image_info(crs=None, place=Affine.identity())))
    assert item["geometry"] is None and "bbox" not in item and "gsd" not in item["properties"]
    assert item["properties"]["proj:code"] is None
    assert "proj:transform" not in item["properties"] and "proj:wkt2" not in item["properties"]


def test_a_crs_without_a_number_is_told_in_wkt() -> None:
    item = made(facts(info=image_info(crs="+proj=laea +lat_0=52 +lon_0=10 +datum=WGS84 +units=m")))
    assert item["properties"]["proj:code"] is None
    assert item["properties"]["proj:wkt2"].startswith("PROJCRS[")


def test_the_time_is_that_of_the_image_where_it_is_known() -> None:
    at = datetime(2023, 6, 3, 10, 26, 1, tzinfo=UTC)
    item = made(replace(facts(), acquired=(at, at)))
    assert item["properties"]["datetime"] == "2023-06-03T10:26:01Z"
    assert "start_datetime" not in item["properties"]
    day = made(replace(facts(), acquired=(at.replace(hour=0), at.replace(hour=23))))
    assert day["properties"]["datetime"] is None
    assert (day["properties"]["start_datetime"], day["properties"]["end_datetime"]) == (
        "2023-06-03T00:26:01Z",
        "2023-06-03T23:26:01Z",
    )


def test_an_unknown_time_is_none_that_was_made_up() -> None:
    told = made()["properties"]
    assert told["datetime"] is None
    assert (told["start_datetime"], told["end_datetime"]) == ("1900-01-01T00:00:00Z", PLANNED_AT)


def test_bands_say_what_their_numbers_mean_and_who_made_them() -> None:
    bands = made()["assets"]["data"]["bands"]
    assert [band["name"] for band in bands] == ["red", "green", "nir"]
    assert bands[0] == {
        "name": "red",
        "data_type": "uint16",
        "nodata": 0,
        "raster:scale": 1e-4,
        "raster:offset": -0.1,
        "rssr:source": "ldcsr",
        "rssr:projected": False,
    }
    assert (bands[2]["rssr:source"], bands[2]["rssr:projected"]) == ("bicubic", True)
    assert made()["assets"]["consistency"]["bands"][0]["nodata"] == "nan"
    masked = made(facts(info=image_info(nodata=None)))["assets"]["data"]["bands"][0]
    assert "nodata" not in masked


def test_it_says_how_the_product_was_made_and_how_good_it_is() -> None:
    told = made(facts(state="partial"))["properties"]
    assert (told["rssr:model"], told["rssr:model_digest"], told["rssr:scale"]) == ("models:/ldcsr/3", "cd" * 32, 4)
    assert told["rssr:state"] == "partial" and told["rssr:valid_share"] == 0.75
    [window] = told["rssr:failed_windows"]
    assert window["rows"] == [0, 2048] and "no numbers" in window["reason"]
    assert told["rssr:consistency_mean"] == 3.25 and told["rssr:seam_score"] == 1.0
    held = told["rssr:model_card"]
    assert held["licence"].startswith("CC-BY-4.0") and held["uncertainty"]["coverage_1"] == 0.69
    assert held["gsd_range_m"] == [8.0, 20.0] and held["tile_dependence"]["psnr_db"] == 47.0
    assert told["processing:software"]["rssr"] == "0.1.0"
    assert "s3://in/2026/2026/T32TQS.tif" in told["processing:lineage"]


def test_generated_detail_is_called_so_and_interpolation_is_not() -> None:
    assert GENERATIVE in made()["properties"]["description"] and made()["properties"]["rssr:generative"]
    plain = made(run=identity("bicubic"), card=None)["properties"]
    assert INTERPOLATED in plain["description"] and not plain["rssr:generative"]
    assert "rssr:model_card" not in plain and "rssr:model_digest" not in plain


@pytest.mark.parametrize(
    ("location", "key", "href", "kind"),
    [
        ("s3://in/2026", "a b.tif", "s3://in/2026/a%20b.tif", "image/tiff; application=geotiff"),
        ("/data/in", "S2A.SAFE", "file:///data/in/S2A.SAFE", None),
        ("s3://in", "item.json", "s3://in/item.json", "application/geo+json"),
        ("/data/scene ü.tif", "", "file:///data/scene%20%C3%BC.tif", "image/tiff; application=geotiff"),
    ],
)
def test_it_leads_to_what_it_was_made_from(location: str, key: str, href: str, kind: str | None) -> None:
    product = facts()
    source = InputScene("n", location, key, "raster", 1, "v")
    [link] = made(replace(product, planned=replace(product.planned, scene=source)))["links"]
    assert (link["rel"], link["href"], link.get("type")) == ("derived_from", href, kind)


def test_the_licence_is_that_of_the_configuration_and_checked() -> None:
    assert made()["properties"]["license"] == "proprietary"
    wrong = {**identity().values, "products": {**identity().values["products"], "licence": "all mine"}}
    with pytest.raises(STACValidationError):
        made(run=replace(identity(), values=wrong))
    with pytest.raises(ValueError, match="licence"):
        config(products={"licence": "all mine"})

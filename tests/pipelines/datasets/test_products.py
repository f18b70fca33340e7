"""Sentinel-2 products in listings."""

from pathlib import Path

import pytest

from pipelines.datasets.products import find_products, open_product_files
from rssr.errors import DataError
from rssr.sentinel2 import open_sentinel2
from tests.sentinel2_products import FOUR, imagined_numbers, write_cog, write_item, write_safe


def names(folder: Path) -> list[str]:
    return [product.name for product in find_products([str(folder)])]


def test_every_form_of_product_is_found_and_opens_by_its_name(tmp_path: Path) -> None:
    numbers = imagined_numbers((64, 64))
    safe = write_safe(tmp_path / "a folder", numbers)
    write_item(tmp_path / "item", numbers, {"scale": 0.0001, "offset": -0.1})
    for band, values in numbers.items():
        write_cog(tmp_path / "bands" / f"S2A_N0509_{band}_10m.tif", values)
    write_cog(tmp_path / "stack_N0509.tif", next(iter(numbers.values())), ["B02"])
    (tmp_path / "notes.txt").write_text("none of them")
    found = names(tmp_path)
    assert found == ["a folder/" + safe.name, "bands/S2A_N0509_{band}_10m.tif", "item/item.json", "stack_N0509.tif"]
    for name in found[:3]:
        with open_sentinel2(open_product_files(str(tmp_path), name), FOUR) as scene:
            assert scene.info.size == (64, 64)


def test_a_location_may_be_one_product(tmp_path: Path) -> None:
    safe = write_safe(tmp_path, imagined_numbers((64, 64)))
    assert names(safe) == [""]
    with open_sentinel2(open_product_files(str(safe), ""), FOUR) as scene:
        assert scene.info.size == (64, 64)


def test_two_acquisitions_in_one_folder_are_two_products(tmp_path: Path) -> None:
    values = imagined_numbers((64, 64))["B02"]
    for day in ("20230603", "20230713"):
        for band in FOUR:
            write_cog(tmp_path / f"S2A_{day}_{band}.tif", values)
    assert names(tmp_path) == ["S2A_20230603_{band}.tif", "S2A_20230713_{band}.tif"]


def test_a_location_without_products_says_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(DataError, match="SAFE folders, STAC items"):
        find_products([str(tmp_path)])

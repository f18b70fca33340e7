from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from pipelines.bulk.products.product_facts import ProductFacts
from pipelines.bulk.products.stac import stac_item
from pipelines.bulk.products.thumbnail import thumbnail_png
from pipelines.bulk.records import FileRole, PlannedScene, ProductFile, SceneRecord
from rssr.inference.files import SceneFiles, open_scene
from rssr.inference.options import SceneOptions, TilingOptions
from rssr.inference.planning import plan_draws
from rssr.inference.products import SideProducts
from rssr.inference.scene import SceneRun
from rssr.models.loaded import load_model
from rssr.raster import RasterInfo, open_raster
from tests.pipelines.bulk.made_products import write
from tests.pipelines.bulk.made_runs import identity, record, scene
from tests.sentinel2_products import write_safe


def made(source: Path, folder: Path) -> tuple[ProductFacts, PlannedScene, SceneRecord]:
    """A scene's product, as a run would write it, and what is known of it then."""
    model = load_model("bicubic")
    draws = plan_draws(model, 0, None, with_deviation=False)
    options = SceneOptions(TilingOptions(), draws, project=True)
    files = SceneFiles(source, folder / "p.tif", False, SideProducts(consistency=folder / "p_consistency.tif"))
    with open_scene(source, ("B04", "B03", "B02")) as reader:
        run = SceneRun.prepare(reader, model, 4, options, source.name)
        run.write(files, lambda done, total: None)
        planned = replace(scene("p"), lr_size=run.plan.lr_size)
        roles: dict[FileRole, str] = {"data": "p.tif", "consistency": "p_consistency.tif"}
        written = tuple(ProductFile(key, role, (folder / key).stat().st_size, "0" * 64) for role, key in roles.items())
        entry = replace(record(planned), files=written)
        return ProductFacts.of(run, planned, entry), planned, entry


def info_of(path: Path) -> RasterInfo:
    with open_raster(path) as reader:
        return reader.info


def test_facts_are_those_of_the_files(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 5000, (3, 40, 60)).astype(np.uint16)
    source = write(tmp_path / "in.tif", pixels, band_names=("red", "green", "blue"), nodata=0.0)
    found, _, _ = made(source, tmp_path)
    for role, name in (("data", "p.tif"), ("consistency", "p_consistency.tif")):
        told, held = found.layers[role], info_of(tmp_path / name)  # type: ignore[index]  # a role of the literal
        assert (told.size, told.transform, told.crs) == (held.size, held.transform, held.crs)
        assert (told.dtype, told.band_names) == (held.dtype, held.band_names)
    assert found.scale == 4 and found.acquired is None
    assert found.sources == ("bicubic",) * 3 and found.projected == (True,) * 3


def test_a_product_of_sentinel_2_tells_when_it_was_taken(tmp_path: Path) -> None:
    found, _, _ = made(write_safe(tmp_path), tmp_path)
    item = stac_item(found, identity("bicubic"))
    assert item["properties"]["datetime"] == "2023-06-03T10:26:01.024000Z"
    assert found.acquired == (datetime(2023, 6, 3, 10, 26, 1, 24_000, UTC),) * 2
    assert [band["name"] for band in item["assets"]["data"]["bands"]] == ["B04", "B03", "B02"]
    assert item["bbox"][0] == pytest.approx(10.3, abs=0.1)
    assert thumbnail_png(tmp_path / "p.tif", 64).startswith(b"\x89PNG")

"""The jobs on Sentinel-2 products in a bucket: four bands, from JPEG 2000 and COG to a product of reflectance."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio

import rssr
from pipelines.storage import open_store
from rssr.inference import super_resolve_scene
from rssr.sentinel2 import open_sentinel2
from rssr.stretch import Stretch
from tests.conftest import S3Server
from tests.jobs.running import ROOT, Run, paragraph, run_job_here, with_store
from tests.sentinel2_products import FOUR, imagined_numbers, write_item, write_safe

METHODS = ("ldcsr", "slimdiffsr")
ON_SCENES = (
    "num_workers=0",
    "in_bands=4",
    "data.scenes.tile_size=128",
    "data.degradation=sentinel2",
    "data.num_test=4",
    "evaluation.max_side=64",
)


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAFE folder, one with a hole, and a STAC item with COGs."""
    folder = tmp_path_factory.mktemp("products")
    size = (256, 260)
    write_safe(folder, imagined_numbers(size, seed=1))
    holed = imagined_numbers(size, seed=2)
    holed["B03"][130:200, :40] = 0
    write_safe(folder, holed, tile="T33UUU")
    (folder / "cog").mkdir()
    raster = {"scale": 0.0001, "offset": 0}
    write_item(folder / "cog", imagined_numbers(size, 3, 0), raster, **{"earthsearch:boa_offset_applied": True})
    return folder


@pytest.fixture(scope="module")
def bucket(products: Path, s3_server: S3Server) -> Iterator[str]:
    bucket = s3_server.make_bucket()
    with pytest.MonkeyPatch.context() as patch:
        s3_server.use(patch)
        open_store(bucket).upload_folder(products, "Sentinel-2 2023")
    yield f"{bucket}/Sentinel-2 2023"


@pytest.fixture(scope="module", params=METHODS)
def finished(
    request: pytest.FixtureRequest, bucket: str, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    method: str = request.param
    folder = with_store(tmp_path_factory.mktemp(method))
    preset = ROOT / "tests" / "data" / f"tiny_{method}.yaml"
    arguments = (*ON_SCENES, f"data.uri={bucket}", f"output.uri={folder}")
    result = run_job_here(*arguments, preset=preset, job=method, env=s3_server.settings.mlflow_environment())
    assert result.status == 0, result.err
    return Run(folder, result)


def test_squares_with_holes_are_left_out_and_offsets_are_told(finished: Run) -> None:
    [summary] = finished.folder.glob("manifests/*/manifest.json")
    told = json.loads(summary.read_text())
    assert told["num_train"] + told["num_test"] == 3 * 4 - 1
    offsets = {name: count for name, count in told["conversions"].items() if name.startswith("offset")}
    assert sorted(offsets.values()) == [3, 4, 4]
    assert any(name.startswith("offset 0 by earthsearch:boa_offset_applied") for name in offsets)
    assert sum(name.startswith("offset -1000 by MTD_MSIL2A.xml of ") for name in offsets) == 2


def test_the_card_says_how_reflectance_is_shown(finished: Run) -> None:
    [folder] = finished.folder.glob("models/*")
    card = rssr.load_model(folder).card
    assert card is not None
    assert (card.bands, card.dtype) == (list(FOUR), "float32")
    assert card.stretch is not None
    assert card.stretch.high == (0.3, 0.3, 0.3, 0.5)


def test_every_band_is_measured_and_luma_is_not(finished: Run) -> None:
    [rows] = finished.folder.glob("evaluations/*.parquet")
    table = pq.read_table(rows).to_pylist()
    assert {f"psnr_{band.lower()}_db" for band in FOUR} | {"psnr_bands_db", "ssim_bands"} <= table[0].keys()
    assert "psnr_y_db" not in table[0]
    bicubic = [row["psnr_bands_db"] for row in table if row["model"] == "bicubic"]
    constant = [row["psnr_bands_db"] for row in table if row["model"] == "constant colour"]
    assert np.mean(bicubic) > np.mean(constant)
    [report] = finished.folder.glob("reports/*.html")
    text = report.read_text()
    assert "PSNR of the bands, dB" in text
    assert "PSNR-Y is not defined for the bands B02, B03, B04, B08" in text


def test_the_product_is_reflectance_that_says_how_it_was_shown(finished: Run) -> None:
    [path] = [path for path in finished.folder.glob("products/*/*.tif") if "uncertainty" not in path.name]
    with rasterio.open(path) as product:
        assert (product.height, product.width) == (512, 512)
        assert product.descriptions == FOUR
        assert product.dtypes[0] == "float32"
        assert product.crs.to_epsg() == 32632
        assert product.res == (2.5, 2.5)
        stretch = Stretch.model_validate_json(product.tags()["RSSR_STRETCH"])
        values = product.read()
    assert stretch.bands == FOUR
    assert np.isfinite(values).all()


def test_the_model_runs_on_a_product_itself(finished: Run, products: Path, tmp_path: Path) -> None:
    [folder] = finished.folder.glob("models/*")
    [safe] = products.glob("*T33UUU*.SAFE")
    super_resolve_scene(safe, tmp_path / "sr.tif", folder, 4)
    with rasterio.open(tmp_path / "sr.tif") as product, open_sentinel2(safe, FOUR) as scene:
        assert (product.height, product.width) == (1024, 1040)
        mask = scene.read().valid_mask.repeat(4, axis=0).repeat(4, axis=1)
        assert np.array_equal(product.read_masks(1) > 0, mask)
        assert "MTD_MSIL2A.xml" in product.tags()["RSSR_CALIBRATION"]


def test_a_contradicted_offset_ends_the_job_in_one_paragraph(tmp_path: Path) -> None:
    write_safe(tmp_path / "images", imagined_numbers(offset=0))
    arguments = (*ON_SCENES, f"data.uri={tmp_path / 'images'}", f"output.uri={tmp_path / 'runs'}")
    message = paragraph(run_job_here(*arguments, preset=ROOT / "tests" / "data" / "tiny_ldcsr.yaml", job="ldcsr"))
    assert "data.scenes.offset=0" in message
    assert "darkest" in message

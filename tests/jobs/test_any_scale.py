"""The job with a range of scales: one student for all of them, measured at several, on images of odd sizes."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from PIL import Image

import rssr
from rssr.cli import main
from tests.jobs.running import Run, paragraph, run_job_here, with_store

NUM_IMAGES = 12
SIDES = (67, 101, 90)


@pytest.fixture(scope="module")
def ranged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The smallest job for scales 1 to 4, in one process."""
    root = tmp_path_factory.mktemp("ranged")
    images, output = root / "images", with_store(root / "output")
    for number in range(NUM_IMAGES):
        path = images / f"class{number % 2}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number, SIDES[number % 3], SIDES[(number + 1) % 3]).save(path)
    picture(NUM_IMAGES, 300, 270).save(root / "wider_than_a_tile.png")
    result = run_job_here(
        "num_workers=0",
        f"output.uri={output}",
        f"data.uri={images}",
        "data.scale=[1, 4]",
        "data.num_test=3",
        "product.scale=2.7",
        "product.sample.height=37",
        "product.sample.width=53",
        f"product.tile_scene={root / 'wider_than_a_tile.png'}",
        "registry.name=slimdiffsr-any-tiny",
    )
    assert result.status == 0, result.err
    return Run(output, result)


def picture(seed: int, width: int, height: int) -> Image.Image:
    """Soft blobs of colour with fine grain, another one for each seed."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray(np.clip(soft + generator.integers(-9, 10, soft.shape), 0, 255).astype(np.uint8))


def model_folder(run: Run) -> Path:
    [folder] = run.folder.glob("models/*")
    return folder


def test_every_held_out_image_is_measured_at_every_scale(ranged: Run) -> None:
    [rows] = ranged.folder.glob("evaluations/*.parquet")
    table = pq.read_table(rows).to_pylist()
    assert {(row["model"], row["scale"]) for row in table} == {
        (model, scale)
        for model in ("constant colour", "bicubic", "untrained", "matched colours", "slimdiffsr")
        for scale in (2.0, 3.4, 4.0)
    }
    assert len(table) == 3 * 5 * 3
    bicubic = {
        row["scale"]: row["psnr_y_db"] for row in table if row["model"] == "bicubic" and row["key"] == table[0]["key"]
    }
    assert len(set(bicubic.values())) == 3


def test_the_card_names_the_range_and_what_was_measured_at_each_scale(ranged: Run) -> None:
    card = rssr.load_model(model_folder(ranged)).card
    assert card is not None
    assert card.scale_range == (1.0, 4.0)
    for scale in ("x2", "x3.4", "x4"):
        assert {f"bicubic/{scale}/psnr_y_db", f"slimdiffsr/{scale}/ssim_y"} <= set(card.metrics)
    assert "slimdiffsr/psnr_y_db" not in card.metrics, "no mean is over scales"


def test_how_much_results_depend_on_tiles_is_on_the_card_and_in_the_report(ranged: Run) -> None:
    card = rssr.load_model(model_folder(ranged)).card
    assert card is not None
    measured = card.tile_dependence
    assert measured is not None
    assert measured.psnr_db is not None
    assert 10 < measured.psnr_db < 120, "300 pixels are one tile of 512, but not of 256"
    assert measured.seam_score is not None
    [report] = ranged.folder.glob("reports/*.html")
    assert re.search(rf"agree to {measured.psnr_db:.1f}\sdB", report.read_text())


def test_the_report_has_a_column_a_scale_and_shows_the_same_patches_at_each(ranged: Run) -> None:
    [report] = ranged.folder.glob("reports/*.html")
    html = report.read_text()
    for scale in ("2", "3.4", "4"):
        assert re.search(rf"<th[^>]*>Scale {re.escape(scale)} ", html)
    assert "held-out patches, the same at scales 2, 3.4 and 4" in html
    assert "Better on held-out PSNR-Y" in html
    assert "Attention of the learned queries" in html


def test_validation_covers_the_range(ranged: Run) -> None:
    [done] = ranged.folder.glob("phases/student-*/done.json")
    record = json.loads(done.read_text())
    assert record["validation"]["bicubic_psnr_db"] > 15
    [panels] = ranged.folder.glob("phases/student-*/panels.png")
    with Image.open(panels) as image:
        assert image.size == (4 * 64 + 3 * 4, 3 * 64 + 2 * 4), "a row for each of three scales"


def test_the_product_is_made_at_the_chosen_scale(ranged: Run) -> None:
    [product] = ranged.folder.glob("products/*/sample_scene_x2.7.tif")
    with rasterio.open(product) as sr:
        assert (sr.height, sr.width) == (100, 143)
        assert sr.bounds.right - sr.bounds.left == pytest.approx(53 * 1.6)
        assert sr.bounds.top - sr.bounds.bottom == pytest.approx(37 * 1.6)
    assert "--scale 2.7" in ranged.result.out


@pytest.mark.parametrize(("scale", "size"), [("1", (31, 45)), ("1.37", (42, 62)), ("4", (124, 180))])
def test_one_model_runs_at_any_scale_of_its_range(
    ranged: Run, tmp_path: Path, scale: str, size: tuple[int, int]
) -> None:
    source, target = tmp_path / "odd.png", tmp_path / "sr.png"
    picture(3, 45, 31).save(source)
    assert main(["sr", str(source), str(target), "--model", str(model_folder(ranged)), "--scale", scale]) == 0
    with Image.open(target) as sr:
        assert (sr.height, sr.width) == size


@pytest.mark.parametrize("scale", ["4.1", "8"])
def test_scales_beyond_the_range_are_refused(
    ranged: Run, tmp_path: Path, scale: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "odd.png", tmp_path / "sr.png"
    picture(3, 45, 31).save(source)
    assert main(["sr", str(source), str(target), "--model", str(model_folder(ranged)), "--scale", scale]) == 2
    assert "trained for a scale of 1 to 4" in capsys.readouterr().err
    assert not target.exists()


def test_scales_that_are_not_trained_are_refused_before_anything_runs(tmp_path: Path) -> None:
    overrides = ("data.scale=[1, 4]", "evaluation.scales=[2, 6]")
    message = paragraph(run_job_here(f"output.uri={tmp_path / 'out'}", "num_workers=0", *overrides))
    assert "evaluation.scales (2, 6)" in message
    assert "data.scale (1 to 4)" in message
    assert not (tmp_path / "out").exists()

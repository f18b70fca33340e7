"""A folder as people have them: odd files are used or skipped by name, and what the environment holds stays secret."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from tests.jobs.running import Run, run_job_here

NUM_ORDINARY = 12
SECRETS = {
    "AWS_ACCESS_KEY_ID": "planted-key-0815",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-4711",
    "AWS_SESSION_TOKEN": "planted-session-1234",
    "MLFLOW_TRACKING_PASSWORD": "planted-password-5678",
    "HF_TOKEN": "planted-token-9012",
}
SKIPPED = {"empty.jpg", "broken.png", "cut_off.jpg", "see_through.png", "tiny.png"}
CONVERTED = {
    "gray.png": "gray-to-rgb",
    "opaque.png": "opaque-alpha-dropped",
    "palette.png": "palette-to-rgb",
    "cmyk.jpg": "cmyk-to-rgb",
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The smallest job on a folder of ordinary and odd images, with credentials in its environment."""
    root = tmp_path_factory.mktemp("odd")
    images, output = root / "images", root / "output"
    images.mkdir()
    for number in range(NUM_ORDINARY):
        picture(number).save(images / f"ordinary{number:02}.png")
    write_odd_images(images)
    result = run_job_here(
        "num_workers=0",
        f"output.uri={output}",
        f"data.uri={images}",
        "data.max_corrupt_fraction=0.25",
        "data.num_test=4",
        f"product.scene={images}/ordinary00.png",
        env=SECRETS,
    )
    assert result.status == 0, result.err
    return Run(output, result)


def test_odd_files_are_used_or_skipped(odd: Run) -> None:
    [path] = odd.folder.glob("manifests/*/manifest.json")
    manifest = json.loads(path.read_text())
    assert {skipped["key"] for skipped in manifest["skipped"]} == SKIPPED
    assert set(CONVERTED.values()) <= set(manifest["conversions"])
    # Used: all ordinary ones, those that were converted, 16 bit, and the one that only some phases can crop.
    assert manifest["num_train"] + manifest["num_test"] == NUM_ORDINARY + len(CONVERTED) + 2


def test_the_report_counts_and_names_what_was_skipped_and_converted(odd: Run) -> None:
    [report] = odd.folder.glob("reports/*.html")
    html = report.read_text()
    assert f"{len(SKIPPED)} files were skipped" in html
    assert all(key in html for key in SKIPPED)
    assert all(f"converted: {kind}" in html for kind in CONVERTED.values())


def test_each_skipped_file_is_told_with_its_reason(odd: Run) -> None:
    for key in SKIPPED:
        [line] = [line for line in odd.result.err.splitlines() if f"skipped {key}: " in line]
        assert len(line.partition(f"{key}: ")[2]) > len(key)


def test_a_picture_without_a_place_is_super_resolved_too(odd: Run) -> None:
    [product] = odd.folder.glob("products/*/ordinary00_x4.tif")
    with rasterio.open(product) as sr:
        assert (sr.height, sr.width, sr.crs) == (512, 512, None)


def test_no_secret_reaches_the_output(odd: Run) -> None:
    planted = [value.encode() for value in SECRETS.values()]
    files = [path for path in odd.folder.rglob("*") if path.is_file()]
    assert any(path.name == "mlflow.db" for path in files)
    for path in files:
        data = path.read_bytes()
        assert not any(value in data for value in planted), path
    assert not any(value in (odd.result.out + odd.result.err).encode() for value in planted)


def write_odd_images(folder: Path) -> None:
    """One file of each kind."""
    picture(20).convert("L").save(folder / "gray.png")
    picture(21).convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "palette.png")
    picture(22).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.asarray(picture(23).convert("L")).astype(np.uint16) * 257).save(folder / "deep.png")
    with_alpha(picture(24), 255).save(folder / "opaque.png")
    with_alpha(picture(25), 100).save(folder / "see_through.png")
    picture(26, side=40).save(folder / "small.png")
    picture(27, side=20).save(folder / "tiny.png")
    whole = io.BytesIO()
    picture(28).save(whole, "JPEG")
    (folder / "cut_off.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    (folder / "empty.jpg").touch()


def picture(seed: int, side: int = 128) -> Image.Image:
    """Soft blobs of colour, another one for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def with_alpha(image: Image.Image, alpha: int) -> Image.Image:
    """The image, everywhere as opaque as told."""
    image.putalpha(alpha)
    return image

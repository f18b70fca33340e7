"""What a replica answers: the bytes that `rssr sr` writes, or a problem that tells what to do."""

import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.serving.models.replica import ServedModel
from pipelines.serving.models.request import SrResult
from pipelines.serving.problems import Problem
from rssr.cli import main
from rssr.inference import super_resolve
from rssr.models.loaded import load_model
from rssr.raster import read_raster
from tests.pipelines.bulk.imagery import png, tif
from tests.pipelines.serving.images import SIZE, of_every_kind, small_sampler, small_student
from tests.pipelines.serving.models.replicas import asked, served, work

IMAGES = of_every_kind()
FOR_PICTURES = ("picture.png", "picture.jpg", "plain.tif", "ground.tif")
SUFFIX = {".png": ".png", ".jpg": ".jpg", ".tif": ".tif"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | str]:
    """Models of three kinds."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "bicubic": "bicubic",
        "student": small_student(folder / "student"),
        "sampler": small_sampler(folder / "sampler"),
    }


@pytest.fixture(scope="module")
def load(models: dict[str, Path | str]) -> Callable[[str], ServedModel]:
    loaded: dict[str, ServedModel] = {}

    def get(name: str) -> ServedModel:
        if name not in loaded:
            loaded[name] = served(models[name])
        return loaded[name]

    return get


def by_command(image: Path, model: Path | str, *arguments: str, suffix: str = "") -> bytes:
    """What `rssr sr` makes of a file."""
    target = image.with_name(f"out-{image.stem}{suffix or image.suffix}")
    assert main(["sr", str(image), str(target), "--model", str(model), "--overwrite", *arguments]) == 0
    return target.read_bytes()


@pytest.mark.parametrize("name", IMAGES)
def test_images_of_every_kind_come_back_as_the_command_writes_them(
    name: str, load: Callable[[str], ServedModel], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(IMAGES[name])
    result = work(load("bicubic"), asked(IMAGES[name]))
    assert result.data == by_command(tmp_path / name, "bicubic")
    assert result.file_name == f"sr{Path(name).suffix}"


@pytest.mark.parametrize("model", ["student", "sampler"])
@pytest.mark.parametrize("name", FOR_PICTURES)
def test_networks_answer_as_the_command_does(
    name: str,
    model: str,
    load: Callable[[str], ServedModel],
    models: dict[str, Path | str],
    tmp_path: Path,
) -> None:
    (tmp_path / name).write_bytes(IMAGES[name])
    result = work(load(model), asked(IMAGES[name], seed=3))
    assert result.data == by_command(tmp_path / name, models[model], "--seed", "3")
    assert result.num_tiles > 1


def test_another_format_is_the_one_that_is_asked_for(load: Callable[[str], ServedModel], tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(IMAGES["picture.png"])
    result = work(load("bicubic"), asked(IMAGES["picture.png"], format="tiff", scale=2))
    assert result.data == by_command(tmp_path / "picture.png", "bicubic", "--scale", "2", suffix=".tif")
    assert (result.media_type, result.file_name) == ("image/tiff", "sr.tif")


def test_ground_and_pixels_are_told(load: Callable[[str], ServedModel]) -> None:
    result = work(load("bicubic"), asked(IMAGES["ground.tif"], scale=2))
    assert result.megapixels == pytest.approx(4 * SIZE[0] * SIZE[1] / 1e6)
    assert result.area_km2 == pytest.approx(SIZE[0] * SIZE[1] * 10 * 10 / 1e6, rel=0.01)
    assert 0 < result.model_s < result.replica_s


def members(result: SrResult) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(result.data)) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        return {name: archive.read(name) for name in archive.namelist()}


def test_an_uncertainty_comes_beside_its_image(
    load: Callable[[str], ServedModel], models: dict[str, Path | str], tmp_path: Path
) -> None:
    (tmp_path / "ground.tif").write_bytes(IMAGES["ground.tif"])
    layer = tmp_path / "layer.tif"
    image = by_command(tmp_path / "ground.tif", models["sampler"], "--uncertainty", str(layer))
    result = work(load("sampler"), asked(IMAGES["ground.tif"], uncertainty=True))
    found = members(result)
    assert list(found) == ["sr.tif", "uncertainty.tif", "uncertainty.png", "about.json"]
    assert found["sr.tif"] == image
    assert found["uncertainty.tif"] == layer.read_bytes()
    assert result.media_type == "application/zip"


def test_the_picture_of_an_uncertainty_shows_what_its_numbers_say(
    load: Callable[[str], ServedModel], tmp_path: Path
) -> None:
    found = members(work(load("sampler"), asked(IMAGES["ground.tif"], uncertainty=True)))
    about = json.loads(found["about.json"])
    (tmp_path / "layer.tif").write_bytes(found["uncertainty.tif"])
    values = read_raster(tmp_path / "layer.tif").pixels.mean(axis=0)
    assert (about["low"], about["high"]) == pytest.approx(tuple(np.percentile(values, (2, 98))))
    picture = np.asarray(Image.open(io.BytesIO(found["uncertainty.png"]))).astype(int)
    assert picture.shape == (4 * SIZE[0], 4 * SIZE[1], 4)
    assert (picture[..., 3] == 255).all()
    brightness = picture[..., :3].sum(axis=-1)
    assert brightness[values >= about["high"]].min() > brightness[values <= about["low"]].max()


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "no image": ("bicubic", {"image": b"not an image"}, "unreadable-image"),
    "cut off": ("bicubic", {"image": IMAGES["picture.png"][:200]}, "unreadable-image"),
    "a raster that names others": ("bicubic", {"image": b"<VRTDataset></VRTDataset>"}, "unreadable-image"),
    "a raster cut off": ("bicubic", {"image": IMAGES["ground.tif"][:150]}, "unreadable-image"),
    "a scale that the model does not know": ("student", {"image": png(), "scale": 3}, "model-mismatch"),
    "bands that the model does not know": ("student", {"image": tif(("a", "b"))}, "model-mismatch"),
    "numbers that the model does not know": ("student", {"image": IMAGES["deep.tif"]}, "model-mismatch"),
    "no uncertainty": ("bicubic", {"image": png(), "uncertainty": True}, "model-mismatch"),
    "a picture of 16 bits": ("bicubic", {"image": IMAGES["deep.tif"], "format": "png"}, "invalid-request"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_work_is_told_as_a_problem(case: str, load: Callable[[str], ServedModel]) -> None:
    model, values, slug = BAD[case]
    with pytest.raises(Problem) as raised:
        work(load(model), asked(**values))
    assert raised.value.slug == slug
    assert "/tmp" not in raised.value.detail + raised.value.remedy


def test_a_request_that_nobody_waits_for_is_not_computed(load: Callable[[str], ServedModel]) -> None:
    with pytest.raises(Problem) as raised:
        work(load("student"), asked(png(), deadline=time.time() - 1))
    assert raised.value.slug == "timed-out"


def test_the_answer_equals_that_of_python(load: Callable[[str], ServedModel], models: dict[str, Path | str]) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(IMAGES["picture.png"])))
    wanted = super_resolve(pixels, load_model(models["student"]), 4)
    result = work(load("student"), asked(IMAGES["picture.png"]))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(result.data))), wanted)

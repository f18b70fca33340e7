from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

from rssr.card import ModelCard
from rssr.cli import main
from rssr.errors import ModelError
from rssr.images import encode_png
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.models.fast import fast_dtype
from rssr.raster import Raster, read_raster, write_geotiff
from rssr.scenes import generate_scene, write_scene_geotiff
from rssr.weights.folder import save_model_folder


def test_a_scene_is_super_resolved_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, 30, 40)
    status = main(["sr", str(tmp_path / "lr.tif"), str(tmp_path / "sr.tif"), "--model", "bicubic", "--tile-size", "16"])
    assert status == 0
    assert read_raster(tmp_path / "sr.tif").size == (120, 160)
    printed = capsys.readouterr()
    assert "40x30 to 160x120 pixels" in printed.out
    assert printed.err == ""


def test_every_option_reaches_the_model(tmp_path: Path) -> None:
    (tmp_path / "lr.png").write_bytes(encode_png(generate_scene(1, 30, 40)))
    (tmp_path / "sr.png").write_bytes(b"old")
    options = ["--scale", "2.5", "--device", "cpu", "--tile-size", "20", "--halo", "3", "--batch-size", "2"]
    options += ["--color-match", "scene", "--overwrite"]
    assert main(["sr", str(tmp_path / "lr.png"), str(tmp_path / "sr.png"), "--model", "bicubic", *options]) == 0
    with Image.open(tmp_path / "sr.png") as picture:
        assert picture.size == (100, 75)
        assert np.asarray(picture).std() > 5


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"--model": "nonsense"}, "nonsense"),
        ({"--model": "slimdiffsr"}, "rssr weights import"),
        ({"--scale": "0.5"}, "0.5"),
        ({"--device": "abacus"}, "abacus"),
        ({"--halo": "500"}, "halo"),
    ],
)
def test_mistakes_give_one_paragraph_and_status_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    word: str,
) -> None:
    monkeypatch.setenv("RSSR_MODELS", str(tmp_path / "models"))
    write_scene_geotiff(tmp_path / "lr.tif", 1, 8, 8)
    options = {"--model": "bicubic", **change}
    arguments = [part for option in options.items() for part in option]
    assert main(["sr", str(tmp_path / "lr.tif"), str(tmp_path / "sr.tif"), *arguments]) == 2
    printed = capsys.readouterr().err
    assert word in printed
    assert printed.count("\n") == 1
    assert "Traceback" not in printed
    assert not (tmp_path / "sr.tif").exists()


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, 8, 8)
    with pytest.raises(ModelError):
        main(["sr", str(tmp_path / "lr.tif"), str(tmp_path / "sr.tif"), "--model", "nonsense", "--debug"])


def test_the_output_is_never_the_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, 8, 8)
    path = str(tmp_path / "lr.tif")
    assert main(["sr", path, path, "--model", "bicubic", "--overwrite"]) == 2
    assert "both input and output" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "named"),
    [((), "ZSTD"), (("--compression", "deflate"), "DEFLATE"), (("--compression-level", "22"), "ZSTD")],
)
def test_compression_is_an_option(tmp_path: Path, options: tuple[str, ...], named: str) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, 8, 8)
    paths = [str(tmp_path / "lr.tif"), str(tmp_path / "sr.tif")]
    assert main(["sr", *paths, "--model", "bicubic", *options]) == 0
    with rasterio.open(paths[1]) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == named


def test_a_level_that_a_compression_does_not_have_gives_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, 8, 8)
    paths = [str(tmp_path / "lr.tif"), str(tmp_path / "sr.tif")]
    assert main(["sr", *paths, "--model", "bicubic", "--compression", "deflate", "--compression-level", "22"]) == 2
    assert "Give 1 to 9" in capsys.readouterr().err


def test_a_command_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model folder with a small student that has a deviation head."""
    folder = tmp_path_factory.mktemp("models") / "student"
    network = SlimDiffSR(
        block_channels=(8, 8),
        mid_channels=8,
        norm_num_groups=4,
        taesd_channels=8,
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
        num_queries=2,
        query_channels=4,
        deviation_channels=8,
    )
    card = ModelCard(
        name="s-x4", method="slimdiffsr", bands=["red", "green", "blue"], scale_range=(4, 4), licence="CC0"
    )
    save_model_folder(folder, "slimdiffsr", network.architecture, network, card)
    return str(folder)


@pytest.mark.parametrize(("given", "expected"), [((), "sr_uncertainty.tif"), (("doubt.tif",), "doubt.tif")])
def test_uncertainty_is_written_beside_the_output_or_where_told(
    tmp_path: Path, student: str, capsys: pytest.CaptureFixture[str], given: tuple[str, ...], expected: str
) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, 9, 14)
    options = ["--model", student, "--uncertainty", *(str(tmp_path / name) for name in given)]
    assert main(["sr", str(tmp_path / "lr.tif"), str(tmp_path / "sr.tif"), *options]) == 0
    sr, doubt = read_raster(tmp_path / "sr.tif"), read_raster(tmp_path / expected)
    assert sr.size == doubt.size == (36, 56)
    assert doubt.pixels.min() > 0
    assert f"{tmp_path / expected}: expected deviation" in capsys.readouterr().out


def test_uncertainty_of_a_model_that_cannot_tell_gives_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, 8, 8)
    paths = [str(tmp_path / "lr.tif"), str(tmp_path / "sr.tif")]
    assert main(["sr", *paths, "--model", "bicubic", "--uncertainty"]) == 2
    assert "phases=[deviation]" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["lr.tif"]


def test_fast_gives_nearly_the_same_picture(tmp_path: Path, student: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")  # restored after the test, whatever the command sets
    (tmp_path / "lr.png").write_bytes(encode_png(generate_scene(1, 12, 16)))
    for name, options in (("plain", []), ("fast", ["--fast"])):
        arguments = [str(tmp_path / "lr.png"), str(tmp_path / f"{name}.tif"), "--model", student, "--device", "cpu"]
        assert main(["sr", *arguments, *options]) == 0
    plain, fast = (read_raster(tmp_path / f"{name}.tif").pixels.astype(int) for name in ("plain", "fast"))
    assert not np.array_equal(plain, fast) or fast_dtype("cpu") == torch.float32
    assert np.abs(plain - fast).mean() < 1


def test_layers_bands_and_stretch_are_options(tmp_path: Path, student: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Three bands of four are the student's, which was trained on 8-bit pictures."""
    pixels = np.random.default_rng(0).integers(30_000, 33_000, (4, 12, 16)).astype(np.uint16)
    names = ("red", "green", "blue", "nir")
    write_geotiff(tmp_path / "lr.tif", Raster(pixels, band_names=names))
    paths = [str(tmp_path / "lr.tif"), str(tmp_path / "sr.tif")]
    assert main(["sr", *paths, "--model", student]) == 2
    assert "--stretch LOW HIGH" in capsys.readouterr().err
    assert main(["sr", *paths, "--model", student, "--stretch", "33000", "30000"]) == 2
    options = ["--stretch", "30000", "33000", "--other-bands", "--project", "--consistency"]
    assert main(["sr", *paths, "--model", student, *options]) == 0
    sr, error = read_raster(tmp_path / "sr.tif"), read_raster(tmp_path / "sr_consistency.tif")
    assert (sr.band_names, sr.pixels.dtype, error.size) == (names, np.uint16, (12, 16))
    means = sr.pixels.reshape(4, 12, 4, 16, 4).mean(axis=(2, 4))
    assert np.abs(means - pixels).max() < 0.5
    assert "sr_consistency.tif: error on the input's grid" in capsys.readouterr().out

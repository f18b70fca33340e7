from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rssr.cli import main
from rssr.errors import ModelError
from rssr.images import encode_png
from rssr.raster import read_raster
from rssr.scenes import generate_scene, write_scene_geotiff


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


def test_a_command_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "COMMAND" in capsys.readouterr().err

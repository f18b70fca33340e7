import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import rssr.inference.engine as engine_module
from rssr.card import ModelCard
from rssr.errors import DataError, ImageError, ModelError, RasterError
from rssr.images import encode_jpeg, encode_png
from rssr.inference import super_resolve, super_resolve_scene
from rssr.models.loaded import LoadedModel
from rssr.raster import CogOptions, Radiometry, Raster, read_raster, write_geotiff
from rssr.scenes import generate_scene, write_scene_geotiff

ROTATED = Affine.translation(600_000, 5_200_000) * Affine.rotation(17) * Affine.scale(10, -10)
CARD = ModelCard(name="any-x4", method="ldcsr", bands=["red", "green", "blue"], scale_range=(1, 8), licence="CC0")


class CubicResolver:
    """Bicubic enlargement that remembers what it was shown."""

    def __init__(self) -> None:
        self.lowest, self.highest, self.num_seen = 0.0, 0.0, 0

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        assert torch.isfinite(lr).all()
        self.lowest, self.highest = min(self.lowest, float(lr.min())), max(self.highest, float(lr.max()))
        self.num_seen += lr.shape[0]
        return F.interpolate(lr, size=output_size, mode="bicubic", align_corners=False)


def reflectance(nodata: float | None, size: tuple[int, int] = (60, 45), dtype: str = "uint16") -> Raster:
    rng = np.random.default_rng(8)
    smooth = rng.integers(1500, 4000, (4, *size)).astype(dtype)
    mask = np.ones(size, np.bool_)
    mask[5:25, 7:20] = False
    pixels = np.where(mask, smooth, 9 if nodata is None else nodata).astype(dtype)
    names = ("B04", "B03", "B02", "B08")
    return Raster(pixels, ROTATED, "EPSG:32632", mask, names, Radiometry((1e-4,) * 4, (-0.1,) * 4), nodata)


@pytest.mark.parametrize("nodata", [None, 0.0, 65535.0])
@pytest.mark.parametrize("scale", [2, 3.4])
def test_a_geotiff_keeps_what_makes_it_one(tmp_path: Path, nodata: float | None, scale: float) -> None:
    lr = reflectance(nodata)
    write_geotiff(tmp_path / "lr.tif", lr)
    report = super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", "bicubic", scale)
    sr = read_raster(tmp_path / "sr.tif")
    assert sr.size == report.sr_size == (round(60 * scale), round(45 * scale))
    assert (sr.crs, sr.band_names, sr.radiometry, sr.nodata) == (lr.crs, lr.band_names, lr.radiometry, nodata)
    assert sr.pixels.dtype == np.uint16
    for corner in ((0, 0), (0, 1), (1, 1)):
        ground = lr.transform * (corner[1] * 45, corner[0] * 60)
        assert sr.transform * (corner[1] * sr.size[1], corner[0] * sr.size[0]) == pytest.approx(ground)
    assert report.valid_share == pytest.approx(sr.valid_mask.mean())
    assert report.valid_share == pytest.approx(lr.valid_mask.mean(), abs=0.02)


def test_the_mask_is_enlarged_pixel_by_pixel(tmp_path: Path) -> None:
    lr = reflectance(None)
    write_geotiff(tmp_path / "lr.tif", lr)
    super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", "bicubic", 3, tile_size=20, halo=3)
    np.testing.assert_array_equal(
        read_raster(tmp_path / "sr.tif").valid_mask, lr.valid_mask.repeat(3, axis=0).repeat(3, axis=1)
    )


@pytest.mark.parametrize("nodata", [None, 0.0, 65535.0])
def test_holes_do_not_bleed_into_the_data(tmp_path: Path, nodata: float | None) -> None:
    """Whatever number stands for no data, results lie within the range of the data (bicubic overshoots a little)."""
    lr = reflectance(nodata)
    write_geotiff(tmp_path / "lr.tif", lr)
    super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", "bicubic", 2)
    sr = read_raster(tmp_path / "sr.tif")
    valid = sr.pixels[:, sr.valid_mask]
    assert valid.min() > 500
    assert valid.max() < 5000


def test_nan_pixels_stay_holes(tmp_path: Path) -> None:
    lr = reflectance(float("nan"), dtype="float32")
    write_geotiff(tmp_path / "lr.tif", lr)
    super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", "bicubic", 2)
    sr = read_raster(tmp_path / "sr.tif")
    assert np.isnan(sr.pixels[:, ~sr.valid_mask]).all()
    assert np.isfinite(sr.pixels[:, sr.valid_mask]).all()
    assert sr.valid_mask.mean() == pytest.approx(lr.valid_mask.mean())


def test_tiles_without_data_are_not_shown_to_the_model(tmp_path: Path) -> None:
    mask = np.zeros((90, 200), np.bool_)
    mask[:, :30] = True
    pixels = generate_scene(1, 90, 200).transpose(2, 0, 1)
    write_geotiff(tmp_path / "lr.tif", Raster(pixels, valid_mask=mask, band_names=("red", "green", "blue")))
    resolver = CubicResolver()
    model = LoadedModel("cubic", resolver, None, {}, CARD)
    report = super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", model, 2, tile_size=40, halo=5)
    assert report.num_skipped_tiles > report.num_tiles / 2
    assert resolver.num_seen == report.num_tiles - report.num_skipped_tiles


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (77, 1), (3, 300)])
def test_thin_scenes_work(tmp_path: Path, size: tuple[int, int]) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, *size)
    report = super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", "bicubic", 4, tile_size=40, halo=8)
    assert report.sr_size == (size[0] * 4, size[1] * 4)


@pytest.mark.parametrize("matching", ["none", "scene"])
@pytest.mark.parametrize("side", [150, 260])
def test_a_scene_run_in_strips_equals_one_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matching: str, side: int
) -> None:
    """With 36 tiles statistics come from all rows, with 100 from some tiles: how much is kept changes neither."""
    write_scene_geotiff(tmp_path / "lr.tif", 5, side, side)
    run = {"tile_size": 32, "halo": 4, "color_match": matching}
    reports = [super_resolve_scene(tmp_path / "lr.tif", tmp_path / "kept.tif", "bicubic", 2, **run)]  # type: ignore[arg-type]  # plain values
    monkeypatch.setattr(engine_module, "_KEPT_BYTES", 0)
    reports.append(super_resolve_scene(tmp_path / "lr.tif", tmp_path / "strips.tif", "bicubic", 2, **run))  # type: ignore[arg-type]  # plain values
    kept, strips = read_raster(tmp_path / "kept.tif").pixels, read_raster(tmp_path / "strips.tif").pixels
    np.testing.assert_array_equal(kept, strips)
    assert reports[0] == reports[1]


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("encode", [encode_png, encode_jpeg])
def test_pictures_become_pictures(tmp_path: Path, ending: str, encode: object) -> None:
    assert callable(encode)
    pixels = generate_scene(2, 40, 30)
    (tmp_path / "lr.dat").write_bytes(encode(pixels))
    super_resolve_scene(tmp_path / "lr.dat", tmp_path / f"sr{ending}", "bicubic", 2)
    with Image.open(tmp_path / f"sr{ending}") as picture:
        assert picture.size == (60, 80)
        difference = np.asarray(picture).astype(int) - super_resolve(pixels, "bicubic", 2)
    assert np.abs(difference).mean() < (0.1 if ending != ".jpg" and encode is encode_png else 6)


def test_bands_are_found_by_name_and_the_rest_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lr = reflectance(None)
    write_geotiff(tmp_path / "lr.tif", lr)
    card = CARD.model_copy(
        update={"bands": ["nir", "green"], "dtype": "uint16", "value_range": (0.0, 10000.0), "gsd_range_m": (0.5, 1.0)}
    )
    model = LoadedModel("cubic", CubicResolver(), None, {}, card)
    with caplog.at_level(logging.WARNING):
        super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", model, 1)
    sr = read_raster(tmp_path / "sr.tif")
    assert sr.band_names == ("B08", "B03")
    np.testing.assert_array_equal(sr.pixels[:, sr.valid_mask], lr.pixels[[3, 1]][:, lr.valid_mask])
    assert "B04, B02" in caplog.text
    assert "10 m a pixel" in caplog.text


def test_missing_bands_and_other_types_are_refused(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "lr.tif", replace(reflectance(None), radiometry=Radiometry.undeclared(4)))
    model = LoadedModel("cubic", CubicResolver(), None, {}, CARD)
    with pytest.raises(ModelError, match=r"uint16, but .*--stretch LOW HIGH"):
        super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", model, 2)
    write_geotiff(tmp_path / "two.tif", Raster(np.ones((2, 9, 9), np.uint8)))
    with pytest.raises(ModelError, match="red, green, blue"):
        super_resolve_scene(tmp_path / "two.tif", tmp_path / "sr.tif", model, 2)
    assert not (tmp_path / "sr.tif").exists()


def test_files_are_never_destroyed_by_mistake(tmp_path: Path) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, 20, 20)
    before = (tmp_path / "lr.tif").read_bytes()
    (tmp_path / "link.tif").symlink_to(tmp_path / "lr.tif")
    for output in ("lr.tif", "link.tif", "../" + tmp_path.name + "/lr.tif"):
        with pytest.raises(DataError, match="both input and output"):
            super_resolve_scene(tmp_path / "lr.tif", tmp_path / output, "bicubic", 2, overwrite=True)
    (tmp_path / "sr.tif").write_bytes(b"precious")
    with pytest.raises(DataError, match="exists"):
        super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", "bicubic", 2)
    assert (tmp_path / "sr.tif").read_bytes() == b"precious"
    assert (tmp_path / "lr.tif").read_bytes() == before
    super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", "bicubic", 2, overwrite=True)
    assert read_raster(tmp_path / "sr.tif").size == (40, 40)


@pytest.mark.parametrize(
    ("output", "error", "word"),
    [
        ("sr.bmp", DataError, "kind of file"),
        ("sr", DataError, "kind of file"),
        ("holes.png", ImageError, "holes"),
        ("folder.tif", DataError, "folder"),
    ],
)
def test_outputs_that_cannot_be_are_refused(tmp_path: Path, output: str, error: type[Exception], word: str) -> None:
    (tmp_path / "folder.tif").mkdir()
    mask = np.arange(400).reshape(20, 20) > 5
    write_geotiff(tmp_path / "lr.tif", Raster(np.ones((3, 20, 20), np.uint8), valid_mask=mask))
    with pytest.raises(error, match=word):
        super_resolve_scene(tmp_path / "lr.tif", tmp_path / output, "bicubic", 2)
    assert not (tmp_path / output).is_file()


def test_reflectance_does_not_become_a_picture(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "lr.tif", reflectance(None))
    with pytest.raises(ImageError, match="4 bands of uint16"):
        super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.png", "bicubic", 2)


def test_inputs_that_are_no_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        super_resolve_scene(tmp_path / "nothing.tif", tmp_path / "sr.tif", "bicubic", 2)
    (tmp_path / "text.tif").write_bytes(b"plain words")
    with pytest.raises(ImageError, match="not a picture"):
        super_resolve_scene(tmp_path / "text.tif", tmp_path / "sr.tif", "bicubic", 2)
    (tmp_path / "cut.tif").write_bytes(b"II*\x00\x08")
    with pytest.raises(RasterError, match="cannot be opened"):
        super_resolve_scene(tmp_path / "cut.tif", tmp_path / "sr.tif", "bicubic", 2)


def test_progress_ends_complete(tmp_path: Path) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, 50, 20)
    seen: list[tuple[int, int]] = []
    super_resolve_scene(
        tmp_path / "lr.tif", tmp_path / "sr.tif", "bicubic", 2, tile_size=20, progress=lambda *rows: seen.append(rows)
    )
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert seen[-1] == (100, 100)


class DoubtfulResolver(CubicResolver):
    """An error bar of a tenth of the local brightness."""

    gives_deviation = True

    def with_deviation(self, lr: Tensor, output_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        doubt = 0.1 * (1.01 + F.interpolate(lr, size=output_size, mode="bilinear", align_corners=False))
        return self(lr, output_size), doubt


def doubtful(**card: object) -> LoadedModel:
    return LoadedModel("doubtful", DoubtfulResolver(), None, {}, CARD.model_copy(update=card))


REFLECTANCE = {"bands": ["red", "green", "blue", "nir"], "dtype": "uint16", "value_range": (0.0, 10000.0)}


def test_uncertainty_is_a_geotiff_over_the_same_ground_in_the_same_units(tmp_path: Path) -> None:
    lr = reflectance(0.0)
    write_geotiff(tmp_path / "lr.tif", lr)
    model = doubtful(**REFLECTANCE)
    super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", model, 3, uncertainty_path=tmp_path / "doubt.tif")
    sr, doubt = read_raster(tmp_path / "sr.tif"), read_raster(tmp_path / "doubt.tif")
    assert (doubt.size, doubt.crs, doubt.transform) == (sr.size, sr.crs, sr.transform)
    np.testing.assert_array_equal(doubt.valid_mask, sr.valid_mask)
    assert np.isnan(doubt.pixels[:, ~doubt.valid_mask]).all()
    assert doubt.pixels.dtype == np.float32
    assert doubt.band_names == ("B04 deviation", "B03 deviation", "B02 deviation", "B08 deviation")
    assert doubt.radiometry == Radiometry((1e-4,) * 4, (0.0,) * 4)  # an offset moves values, not their deviations
    expected = 0.1 * (sr.pixels.astype(float) + 0.01 * 5000)
    difference = (doubt.pixels - expected)[:, doubt.valid_mask]
    assert np.abs(difference).mean() < 25  # bicubic values against bilinear doubts, of about 280
    alone = tmp_path / "alone.tif"
    super_resolve_scene(tmp_path / "lr.tif", alone, model, 3)
    np.testing.assert_array_equal(read_raster(alone).pixels, sr.pixels)


@pytest.mark.parametrize("matching", ["none", "scene"])
def test_uncertainty_does_not_depend_on_how_much_is_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matching: str
) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 5, 130, 120)
    results = []
    for number, kept in enumerate((engine_module._KEPT_BYTES, 0)):
        monkeypatch.setattr(engine_module, "_KEPT_BYTES", kept)
        paths = tmp_path / f"sr{number}.tif", tmp_path / f"doubt{number}.tif"
        super_resolve_scene(
            tmp_path / "lr.tif",
            paths[0],
            doubtful(),
            2,
            tile_size=32,
            halo=4,
            color_match=matching,  # type: ignore[arg-type]  # one of the literals
            uncertainty_path=paths[1],
        )
        results.append(read_raster(paths[1]).pixels)
    np.testing.assert_array_equal(results[0], results[1])
    assert results[0].std() > 1


def test_a_picture_has_its_uncertainty_beside_it(tmp_path: Path) -> None:
    pixels = generate_scene(2, 21, 13)
    (tmp_path / "lr.png").write_bytes(encode_png(pixels))
    super_resolve_scene(
        tmp_path / "lr.png", tmp_path / "sr.png", doubtful(), 2, uncertainty_path=tmp_path / "doubt.tif"
    )
    _, expected = super_resolve(pixels, doubtful(), 2, return_uncertainty=True)
    np.testing.assert_array_equal(read_raster(tmp_path / "doubt.tif").pixels, expected.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("path", "error", "word"),
    [
        ("doubt.png", DataError, r"one of: \.tif"),
        ("sr.tif", DataError, "both image and uncertainty"),
        ("lr.tif", DataError, "both input and output"),
        ("there.tif", DataError, "exists"),
    ],
)
def test_uncertainty_destroys_no_file(tmp_path: Path, path: str, error: type[Exception], word: str) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, 8, 8)
    (tmp_path / "there.tif").write_bytes(b"precious")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(error, match=word):
        super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", doubtful(), 2, uncertainty_path=tmp_path / path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_model_that_cannot_tell_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, 8, 8)
    with pytest.raises(ModelError, match="bicubic gives no uncertainty"):
        super_resolve_scene(
            tmp_path / "lr.tif", tmp_path / "sr.tif", "bicubic", 2, uncertainty_path=tmp_path / "doubt.tif"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["lr.tif"]


def test_a_run_that_fails_leaves_neither_image_nor_uncertainty(tmp_path: Path) -> None:
    class Breaking(DoubtfulResolver):
        def with_deviation(self, lr: Tensor, output_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
            if self.num_seen > 2:
                raise ModelError("broken")
            return super().with_deviation(lr, output_size)

    write_scene_geotiff(tmp_path / "lr.tif", 1, 60, 60)
    model = LoadedModel("breaking", Breaking(), None, {}, CARD)
    with pytest.raises(ModelError, match="broken"):
        super_resolve_scene(
            tmp_path / "lr.tif",
            tmp_path / "sr.tif",
            model,
            2,
            tile_size=20,
            halo=2,
            batch_size=1,
            uncertainty_path=tmp_path / "doubt.tif",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["lr.tif"]


def test_interpolation_needs_no_pytorch(tmp_path: Path) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 1, 40, 50)
    code = (
        "import sys; from rssr.cli import main; "
        f"status = main(['sr', '{tmp_path}/lr.tif', '{tmp_path}/sr.tif', '--model', 'bicubic', '--tile-size', '32']); "
        "sys.exit(status or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("nodata", [0, None])
def test_rows_that_are_computed_ahead_are_the_same(tmp_path: Path, nodata: float | None) -> None:
    write_geotiff(tmp_path / "lr.tif", reflectance(nodata))
    for num_threads in (1, 2):
        options = CogOptions(num_threads=num_threads)
        target = tmp_path / f"{num_threads}.tif"
        super_resolve_scene(tmp_path / "lr.tif", target, "bicubic", 3, tile_size=20, halo=3, compression=options)
    assert (tmp_path / "1.tif").read_bytes() == (tmp_path / "2.tif").read_bytes()

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import scipy.ndimage
from affine import Affine
from rio_cogeo.cogeo import cog_validate
from torch import Tensor

from rssr.axes import averaging_matrix
from rssr.errors import ModelError
from rssr.inference import ComputedWindows, SceneRun, super_resolve_scene
from rssr.inference.files import SceneFiles, SceneReader, open_scene
from rssr.inference.options import SceneOptions, TilingOptions
from rssr.inference.prologue import ScenePrologue
from rssr.metrics.consistency import consistency
from rssr.metrics.seams import SEAM_LIMIT
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import Draws
from rssr.raster import Radiometry, Raster, create_geotiff, describe, read_raster, write_geotiff
from rssr.scenes import generate_scene, write_scene_geotiff
from rssr.stretch import StretchConfig
from tests.rssr.inference.test_scene import CARD, CubicResolver, doubtful


def test_products_are_cogs_that_say_whether_tiles_show(tmp_path: Path) -> None:
    write_scene_geotiff(tmp_path / "lr.tif", 2, 150, 160)
    report = super_resolve_scene(
        tmp_path / "lr.tif",
        tmp_path / "sr.tif",
        doubtful(),
        4,
        tile_size=48,
        halo=6,
        uncertainty_path=tmp_path / "d.tif",
    )
    assert report.seam_score == pytest.approx(1, abs=0.02)
    for name in ("sr.tif", "d.tif"):
        assert cog_validate(str(tmp_path / name), quiet=True)[0]
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert float(file.tags()["RSSR_SEAM_SCORE"]) == pytest.approx(report.seam_score, abs=1e-4)
        assert file.tags()["RSSR_MODEL"] == "doubtful"


def test_a_product_whose_tiles_show_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A network that makes every other tile brighter, and no halos to hide it."""

    class Patchy(CubicResolver):
        def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
            return super().__call__(lr, output_size) + 0.1 * (self.num_seen % 2)

    write_scene_geotiff(tmp_path / "lr.tif", 2, 200, 200)
    model = LoadedModel("patchy", Patchy(), None, {}, CARD)
    report = super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", model, 4, tile_size=40, halo=1)
    assert report.seam_score > SEAM_LIMIT
    assert "Tiles show" in caplog.text


RGB = ("B04", "B03", "B02")
REFLECTANCE = Radiometry((1e-4,) * 4, (-0.1,) * 4)


def land(dtype: str = "uint16", size: tuple[int, int] = (70, 60), **more: Any) -> Raster:
    """Fields and woods in red, green, blue and near infrared: reflectance with an offset of 1000, or as decimals."""
    picture = generate_scene(7, *size, kind="farmland").transpose(2, 0, 1).astype(np.float64) / 255
    nir = np.clip(0.5 - 0.4 * picture[0] + 0.3 * picture[1], 0.05, 0.6)[None]
    values = np.concatenate([0.02 + 0.25 * picture, nir])
    names = {"band_names": (*RGB, "B08"), **more}
    if dtype == "float32":
        return Raster(values.astype(np.float32), Affine(10, 0, 6e5, 0, -10, 5e6), "EPSG:32632", **names)
    stored = np.rint((values + 0.1) * 10_000).astype(dtype)
    names = {"radiometry": REFLECTANCE, **names}
    return Raster(stored, Affine(10, 0, 6e5, 0, -10, 5e6), "EPSG:32632", **names)


def made(tmp_path: Path, scene: Raster, scale: float = 4, model: Any = "bicubic", **options: Any) -> Raster:
    write_geotiff(tmp_path / "lr.tif", scene)
    run = {"tile_size": 32, "halo": 6, "overwrite": True, **options}
    super_resolve_scene(tmp_path / "lr.tif", tmp_path / "sr.tif", model, scale, **run)
    return read_raster(tmp_path / "sr.tif")


def lr_means(sr: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows, columns = (averaging_matrix(fine, coarse) for fine, coarse in zip(sr.shape[1:], size, strict=True))
    return np.stack([rows @ band.astype(np.float64) @ columns.T for band in sr])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("scale", [4, 3.4])
def test_projected_products_keep_the_means_of_all_types(tmp_path: Path, dtype: str, scale: float) -> None:
    scene = land("uint16" if dtype != "float32" else dtype)
    if dtype in ("uint8", "int16"):
        scene = replace(scene, pixels=(scene.pixels // 32).astype(dtype), radiometry=Radiometry.undeclared(4))
    scene.valid_mask[20:30, 10:14] = False
    sr = made(tmp_path, scene, scale, project=True)
    assert sr.pixels.dtype == scene.pixels.dtype
    assert (sr.radiometry, sr.band_names) == (scene.radiometry, scene.band_names)
    far = ~scipy.ndimage.binary_dilation(~scene.valid_mask)  # at fractional scales holes share SR pixels with the rest
    error = np.abs(lr_means(sr.pixels, scene.size) - scene.pixels)[:, far]
    assert error.max() < (1e-6 if dtype == "float32" else 0.5)
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert file.tags()["RSSR_PROJECTED"] == "yes"


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_projected_products_keep_ndvi(tmp_path: Path, dtype: str) -> None:
    scene = land(dtype)
    sr = made(tmp_path, scene, project=True)

    def ndvi(pixels: np.ndarray) -> np.ndarray:
        red, _, _, nir = pixels * 1e-4 - 0.1 if dtype == "uint16" else pixels
        return (nir - red) / (nir + red)

    truth = ndvi(scene.pixels.astype(np.float64))
    of_means = np.abs(ndvi(lr_means(sr.pixels, scene.size)) - truth)
    mean = np.abs(lr_means(ndvi(sr.pixels.astype(np.float64))[None], scene.size)[0] - truth)
    assert of_means.max() < 0.005
    assert mean.mean() < 0.005
    unprojected = made(tmp_path, scene)
    assert np.abs(ndvi(lr_means(unprojected.pixels, scene.size)) - truth).max() > 2 * of_means.max()


def picture_model(**card: Any) -> LoadedModel:
    """Sharpens, unlike bicubic interpolation; was trained on 8-bit pictures."""

    class Sharp(CubicResolver):
        def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
            return 1.2 * super().__call__(lr, output_size)

    return LoadedModel("sharp", Sharp(), None, {}, CARD.model_copy(update=card))


def test_bands_that_the_model_does_not_take_come_from_interpolation_and_are_named(tmp_path: Path) -> None:
    scene, model = land(), picture_model()
    sr = made(tmp_path, scene, model=model, other_bands=True)
    assert sr.band_names == scene.band_names
    assert sr.radiometry == scene.radiometry
    errors = np.abs(lr_means(sr.pixels, scene.size) - scene.pixels).reshape(4, -1)
    assert errors[3].max() < 0.5
    assert errors[:3].mean() > 20
    bicubic = made(tmp_path, scene, project=True)
    np.testing.assert_allclose(sr.pixels[3], bicubic.pixels[3], atol=1)
    alone = made(tmp_path, scene, model=model)
    assert alone.band_names == RGB
    np.testing.assert_array_equal(alone.pixels, sr.pixels[:3])
    made(tmp_path, scene, model=model, other_bands=True)
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert [file.tags(band)["RSSR_SOURCE"] for band in (1, 2, 3, 4)] == ["sharp"] * 3 + ["bicubic"]
        assert [file.tags(band)["RSSR_PROJECTED"] for band in (1, 2, 3, 4)] == ["no"] * 3 + ["yes"]
        assert json.loads(file.tags()["RSSR_BANDS"])["B08"] == "bicubic"


def test_other_bands_keep_the_scenes_order_and_its_uncertainty_the_models(tmp_path: Path) -> None:
    card = {"bands": ["nir", "green"], "dtype": "uint16", "value_range": (0.0, 10000.0)}
    doubt = tmp_path / "doubt.tif"
    sr = made(tmp_path, land(), 1, doubtful(**card), other_bands=True, uncertainty_path=doubt)
    np.testing.assert_array_equal(sr.pixels, land().pixels)
    assert sr.band_names == (*RGB, "B08")
    assert read_raster(doubt).band_names == ("B08 deviation", "B03 deviation")


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_models_of_pictures_see_declared_reflectance_through_the_usual_stretch(tmp_path: Path, dtype: str) -> None:
    scene, model = land(dtype), picture_model()
    sr = made(tmp_path, scene, model=model)
    resolver = model.resolver
    assert isinstance(resolver, CubicResolver)
    assert resolver.lowest == pytest.approx(scene.pixels[:3].min() * 1e-4 / 0.15 - 0.1 / 0.15 - 1, abs=1e-4)
    assert sr.pixels.dtype == scene.pixels.dtype
    assert sr.radiometry == Radiometry((1e-4,) * 3, (-0.1,) * 3)
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert json.loads(file.tags()["RSSR_STRETCH"])["high"] == [0.3, 0.3, 0.3]


def test_what_declares_nothing_is_refused_until_a_stretch_is_given(tmp_path: Path) -> None:
    scene = land(radiometry=Radiometry.undeclared(4))
    with pytest.raises(ModelError, match=r"trained on uint8.*--stretch LOW HIGH"):
        made(tmp_path, scene, model=picture_model())
    model = picture_model()
    sr = made(tmp_path, scene, model=model, stretch=StretchConfig(low=1000, high=4000))
    assert sr.pixels.dtype == np.uint16
    assert not sr.radiometry.declared
    assert isinstance(model.resolver, CubicResolver)
    assert model.resolver.lowest == pytest.approx((int(scene.pixels[:3].min()) - 1000) / 1500 - 1, abs=1e-4)


def reflectance_model() -> LoadedModel:
    stretch = StretchConfig().over(RGB)
    card = CARD.model_copy(update={"bands": list(RGB), "dtype": "float32", "stretch": stretch})
    return LoadedModel("cubic", CubicResolver(), None, {}, card)


def test_models_of_reflectance_take_stored_numbers_that_say_what_they_are(tmp_path: Path) -> None:
    stored = made(tmp_path, land(), model=reflectance_model())
    decimal = made(tmp_path, land("float32"), model=reflectance_model())
    np.testing.assert_allclose(stored.pixels * 1e-4 - 0.1, decimal.pixels, atol=2e-4)
    with pytest.raises(ModelError, match="declares scale and offset"):
        made(tmp_path, land(radiometry=Radiometry.undeclared(4)), model=reflectance_model())
    with pytest.raises(ModelError, match="a stretch of its own"):
        made(tmp_path, land(), model=reflectance_model(), stretch=StretchConfig())


def test_the_error_on_the_lr_grid_is_a_layer_beside_it(tmp_path: Path) -> None:
    scene, path = land(), tmp_path / "error.tif"
    scene.valid_mask[5:9, 30:40] = False
    sr = made(tmp_path, scene, model=picture_model(), consistency_path=path)
    layer = read_raster(path)
    assert (layer.size, layer.transform, layer.crs) == (scene.size, scene.transform, scene.crs)
    assert layer.radiometry == Radiometry((1e-4,), (0.0,))
    wanted = consistency(
        np.where(sr.valid_mask, sr.pixels, 0).transpose(1, 2, 0).astype(np.float32),
        scene.pixels[:3].transpose(1, 2, 0).astype(np.float32),
        4,
        valid_mask=scene.valid_mask,
    ).error_map
    np.testing.assert_array_equal(layer.valid_mask, np.isfinite(wanted))
    np.testing.assert_allclose(layer.pixels[0], wanted, rtol=1e-4, atol=0.01)
    assert cog_validate(str(path), quiet=True)[0]


@pytest.mark.parametrize("matching", ["none", "scene"])
def test_windows_of_other_processes_become_the_same_product(tmp_path: Path, matching: str) -> None:
    """Prepared anew for each step, as by other processes, and computed last window first."""
    whole = made(tmp_path, land(), model=picture_model(), color_match=matching, project=True, other_bands=True)
    tiling = TilingOptions(32, 6, matching)  # type: ignore[arg-type]  # one of the literals
    options = SceneOptions(tiling, Draws(), project=True, other_bands=True)

    def prepared(reader: SceneReader) -> SceneRun:
        return SceneRun.prepare(reader, picture_model(), 4, options, "lr.tif")

    strips = {}
    with open_scene(tmp_path / "lr.tif") as reader:
        for window in reversed(prepared(reader).windows(2)):
            run = prepared(reader)
            strips[window.key] = run.engine.run_window(run.scene, run.plan, window)
        run = prepared(reader)
        prologue = ScenePrologue.from_json(run.engine.prologue(run.scene, run.plan).to_json())
        run = prepared(reader)
        fetch = lambda window, row: strips[window.key][row - window.rows[0]]  # noqa: E731  # short
        files = SceneFiles(tmp_path / "lr.tif", tmp_path / "apart.tif")
        run.write(files, lambda finished, total: None, ComputedWindows(prologue, run.windows(2), fetch))
    apart = read_raster(tmp_path / "apart.tif")
    assert apart.pixels.tobytes() == whole.pixels.tobytes()
    assert run.report().seam_score >= 1


MEASURED = """
import resource, sys
from rssr.inference import super_resolve_scene
def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
for scene in sys.argv[1:]:
    super_resolve_scene(scene, scene.replace("lr", "sr"), "bicubic", 4)
    print(peak_mib())
"""


def peaks_mib(*scenes: Path) -> list[float]:
    """Largest resident memory of another process after each of these scenes."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, scenes)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return [float(line) for line in done.stdout.split()]


def write_repeated(path: Path, pattern: np.ndarray, times: int) -> None:
    """A scene of a pattern [C, h, W] below itself."""
    num_bands, height, width = pattern.shape
    info = describe(Raster(pattern, Affine(10, 0, 6e5, 0, -10, 5e6), "EPSG:32632"))
    with create_geotiff(path, replace(info, size=(height * times, width), num_bands=num_bands)) as writer:
        for _ in range(times):
            writer.write_rows(pattern, np.ones((height, width), np.bool_))


def test_memory_does_not_grow_with_the_height_of_a_scene(tmp_path: Path) -> None:
    """Of a scene of 82 MB at SR size, a third may come on top of one of 16 MB."""
    pattern = generate_scene(1, 850, 400).transpose(2, 0, 1)
    write_repeated(tmp_path / "lr0.tif", pattern, 1)
    write_repeated(tmp_path / "lr1.tif", pattern, 5)
    low, high = peaks_mib(tmp_path / "lr0.tif", tmp_path / "lr1.tif")
    assert high - low < 27


HELD = """
import sys
from pathlib import Path
import numpy as np
from rssr.inference import *
from rssr.models.loaded import load_model
from rssr.models.resolver import Draws
def told(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":"))
def grown_mib(work):
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = told("VmRSS")
    work()
    return told("VmHWM") - before
folder, tiling = Path(sys.argv[1]), {"tile_size": 64, "halo": 4}
def whole(name, lr="lr.tif", **options):
    super_resolve_scene(folder / lr, folder / name, "bicubic", 4, **tiling, **options)
def from_windows(name):
    with open_scene(folder / "lr.tif") as reader:
        options = SceneOptions(TilingOptions(**tiling), Draws())
        run = SceneRun.prepare(reader, load_model("bicubic"), 4, options, "lr.tif")
        windows = run.windows(8)
        place = lambda window, row: folder / f"{window.key}.{row}.npy"
        for window in windows:
            strips = run.engine.run_window(run.scene, run.plan, window)
            for row, strip in zip(window.rows, strips):
                np.save(place(window, row), strip)
        fetch = lambda window, row: np.load(place(window, row))
        files = SceneFiles(folder / "lr.tif", folder / name)
        computed = ComputedWindows(run.prologue(windows, fetch), windows, fetch)
        print(grown_mib(lambda: run.write(files, lambda finished, total: None, computed)))
whole("first.tif", "small.tif")  # imports what is imported late
print(grown_mib(lambda: whole("a.tif")))
print(grown_mib(lambda: whole("b.tif", project=True, consistency_path=folder / "c.tif")))
from_windows("d.tif")
"""


def test_a_wide_scene_needs_little_more_than_one_row_of_tiles_as_wide(tmp_path: Path) -> None:
    """As wide as a Sentinel-2 tile: a row of tiles of 64 rows measures 172 MiB at SR size."""
    strip_mib = 4 * (64 * 4) * (10_980 * 4) * 4 / 2**20
    pattern = np.tile(np.random.default_rng(0).integers(1000, 4000, (4, 60, 549)).astype(np.uint16), (1, 1, 20))
    write_repeated(tmp_path / "lr.tif", pattern, 2)
    write_repeated(tmp_path / "small.tif", pattern[:, :, :70], 2)
    done = subprocess.run(
        [sys.executable, "-c", HELD, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    plain, projected, from_windows = (float(line) / strip_mib for line in done.stdout.split())
    assert plain < 2.7  # one, what it overlaps with the one before, and 256 rows as they are stored
    assert projected < 4.8
    assert from_windows < 2.7


@pytest.mark.long
def test_a_whole_sentinel_2_tile_stays_below_four_gigabytes(tmp_path: Path) -> None:
    """10,980 x 10,980 pixels of four 16-bit bands, enlarged four times; needs 35 GB of disk."""
    pattern = np.tile(np.random.default_rng(0).integers(1000, 4000, (4, 549, 549)).astype(np.uint16), (1, 1, 20))
    write_repeated(tmp_path / "lr.tif", pattern, 20)
    assert peaks_mib(tmp_path / "lr.tif")[0] < 4 * 1024
    (tmp_path / "sr.tif").unlink()

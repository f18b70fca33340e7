from pathlib import Path

import pytest
from torch import Tensor

from rssr.inference.options import SceneOptions, TilingOptions
from rssr.inference.tile_dependence import measure_tile_dependence
from rssr.models.loaded import LoadedModel, load_model
from rssr.models.resolver import Draws
from rssr.raster import write_geotiff
from rssr.scenes import write_scene_geotiff
from tests.rssr.inference.test_finishing import land
from tests.rssr.inference.test_scene import CARD, CubicResolver

OPTIONS = SceneOptions(TilingOptions(halo=6), Draws())


class TileMatched(CubicResolver):
    """Gives each tile a mean of its own, as normalising layers do."""

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        sr = super().__call__(lr, output_size)
        return sr - 0.5 * lr.mean(dim=(2, 3), keepdim=True)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    write_scene_geotiff(tmp_path / "lr.tif", 4, 130, 120)
    return tmp_path / "lr.tif"


def test_a_local_model_does_not_depend_on_its_tiles(scene: Path) -> None:
    found = measure_tile_dependence(load_model("bicubic"), [scene], 2, OPTIONS, (32, 64))
    assert found.psnr_db is not None
    assert found.psnr_db > 60
    assert found.seam_score == pytest.approx(1, abs=0.02)


def test_a_model_that_looks_at_whole_tiles_does(scene: Path) -> None:
    model = LoadedModel("matched", TileMatched(), None, {}, CARD)
    found = measure_tile_dependence(model, [scene], 2, OPTIONS, (32, 64))
    assert found.psnr_db is not None
    assert found.psnr_db < 40
    worse = measure_tile_dependence(model, [scene], 2, OPTIONS, (20, 100))
    assert worse.psnr_db is not None
    assert worse.psnr_db < found.psnr_db


def test_reflectance_is_compared_in_the_models_range_and_holes_do_not_count(tmp_path: Path) -> None:
    scene = land()
    scene.valid_mask[:] = False
    write_geotiff(tmp_path / "lr.tif", scene)
    assert measure_tile_dependence(load_model("bicubic"), [tmp_path / "lr.tif"], 2, OPTIONS, (32, 64)).psnr_db is None
    scene.valid_mask[:, 5:] = True
    write_geotiff(tmp_path / "lr.tif", scene)
    model = LoadedModel("cubic", CubicResolver(), None, {}, CARD)
    found = measure_tile_dependence(model, [tmp_path / "lr.tif"], 2, OPTIONS, (32, 64))
    assert found.psnr_db is not None
    assert found.psnr_db > 60

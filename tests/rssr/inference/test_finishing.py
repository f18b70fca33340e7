from pathlib import Path

import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate
from torch import Tensor

from rssr.inference import super_resolve_scene
from rssr.metrics.seams import SEAM_LIMIT
from rssr.models.loaded import LoadedModel
from rssr.scenes import write_scene_geotiff
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

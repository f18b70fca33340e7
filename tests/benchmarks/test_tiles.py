from pathlib import Path

import pytest
import torch

from benchmarks import tiles
from rssr.card import ModelCard
from rssr.models.registry import create_model
from rssr.scenes import write_scene_geotiff
from rssr.weights.folder import save_model_folder
from tests.rssr.methods.tiny_latent import TINY_ARCHITECTURE


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = create_model("ldcsr", **TINY_ARCHITECTURE).eval()
    card = ModelCard(
        name="tiny", method="ldcsr", bands=["red", "green", "blue"], scale_range=(1, 8), halo=4, licence="none"
    )
    save_model_folder(tmp_path / "model", "ldcsr", network.architecture, network, card)
    return tmp_path / "model"


def test_figures_of_each_scene_and_of_all_are_told_and_put_on_the_card(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = [str(tmp_path / f"{number}.tif") for number in (1, 2)]
    for number, scene in enumerate(scenes):
        write_scene_geotiff(scene, number, 60, 40)
    options = ["--scale", "2", "--tiles", "24", "48"]
    assert tiles.main([str(model), *scenes, *options]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in ("| 1.tif |", "| 2.tif |", "| all |", "at least 40 dB"))
    assert ModelCard.load(model / "card.yaml").tile_dependence is None
    assert tiles.main([str(model), scenes[0], *options, "--card"]) == 0
    found = ModelCard.load(model / "card.yaml").tile_dependence
    assert found is not None
    assert found.psnr_db is not None
    assert 10 < found.psnr_db < 120
    assert found.seam_score is not None


def test_what_cannot_be_run_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scene_geotiff(tmp_path / "a.tif", 1, 20, 20)
    assert tiles.main(["nonsense", str(tmp_path / "a.tif")]) == 2
    assert tiles.main(["bicubic", str(tmp_path / "missing.tif")]) == 2
    assert tiles.main(["bicubic", str(tmp_path / "a.tif"), "--card"]) == 2
    assert capsys.readouterr().err.count("\n") == 3

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rssr.card import ModelCard
from rssr.errors import WeightsError
from rssr.methods.ldcsr.inference import official_inference
from rssr.methods.ldcsr.weights import import_files
from rssr.models.latent.network import LatentSR
from rssr.models.loaded import load_model
from rssr.weights.official import ImportOptions
from tests.rssr.weights.published_latent import first_stage, save_lightning, second_stage

REDUCED = ImportOptions(norm_num_groups=8, head_channels=12)
RAW = ImportOptions(norm_num_groups=8, head_channels=12, raw_weights=True)


@pytest.fixture(scope="module")
def second() -> dict[str, Tensor]:
    return second_stage()


@pytest.fixture(scope="module")
def imported(second: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ldcsr")
    import_files([save_lightning(folder / "last.ckpt", second)], folder / "model", REDUCED)
    return folder / "model"


def loaded_network(folder: Path) -> LatentSR:
    network = load_model(folder).network
    assert isinstance(network, LatentSR)
    return network


@pytest.mark.parametrize("case", ["x2", "x3.4", "x8"])
def test_an_imported_checkpoint_gives_the_recorded_images(
    case: str, imported: Path, vector_file: Callable[[str], Any]
) -> None:
    vectors = vector_file("ldcsr_sampling")
    recorded = vectors.tensors
    noises = [recorded[f"in/{case}.x_T"], *(recorded[f"in/{case}.step_noise_t{t}"] for t in (3, 2, 1, 0))]
    height, width = recorded[f"out/{case}.sr"].shape[2:]
    lr = recorded[f"in/{case}.lr"]
    images = official_inference(lr, loaded_network(imported), (height, width), lambda number: noises[number])
    vectors.assert_close(f"out/{case}.sr", images.sr)
    vectors.assert_close(f"out/{case}.sr_kd", images.sr_condition)


def test_any_size_works_through_the_resolver(imported: Path) -> None:
    with torch.no_grad():
        assert load_model(imported).resolver(torch.rand(1, 3, 9, 12) * 2 - 1, (31, 41)).shape == (1, 3, 31, 41)


@pytest.mark.parametrize(
    ("options", "name"),
    [(REDUCED, "model_ema.diffusion_modelout2weight"), (RAW, "model.diffusion_model.out.2.weight")],
)
def test_average_or_raw_weights_are_taken_as_asked(
    options: ImportOptions, name: str, second: dict[str, Tensor], tmp_path: Path
) -> None:
    import_files([save_lightning(tmp_path / "last.ckpt", second)], tmp_path / "model", options)
    assert torch.equal(loaded_network(tmp_path / "model").denoiser.conv_out.weight, second[name])


@pytest.mark.parametrize("num_timesteps", [2, 4, 8, 16])
def test_the_schedule_and_the_scaling_are_the_files(num_timesteps: int, tmp_path: Path) -> None:
    file = save_lightning(tmp_path / "last.ckpt", second_stage(f"T{num_timesteps}"))
    report = import_files([file], tmp_path / "model", REDUCED)
    assert (report.architecture["num_timesteps"], report.architecture["beta_start"]) == (num_timesteps, 0.1)
    assert report.architecture["beta_end"] == 0.99
    assert float(loaded_network(tmp_path / "model").latent_scaling) == pytest.approx(5.3)


def test_the_card_says_where_the_model_comes_from(second: dict[str, Tensor], tmp_path: Path) -> None:
    first = save_lightning(tmp_path / "epoch=779-best.ckpt", first_stage(second))
    last = save_lightning(tmp_path / "last.ckpt", second)
    report = import_files([first, last], tmp_path / "model", REDUCED)
    card = ModelCard.load(tmp_path / "model" / "card.yaml")
    assert (card.name, card.method, card.scale_range, card.unofficial_weights) == (
        "ldcsr-official",
        "ldcsr",
        (1, 8),
        False,
    )
    assert [source.path for source in report.sources] == [first, last]
    for source in report.sources:
        assert f"{source.path.name} (SHA-256 {source.sha256})" in card.notes
    assert "moving average, epoch 7, step 900" in card.notes


def test_another_prediction_can_be_chosen(second: dict[str, Tensor], tmp_path: Path) -> None:
    options = ImportOptions(norm_num_groups=8, head_channels=12, prediction="sample")
    report = import_files([save_lightning(tmp_path / "last.ckpt", second)], tmp_path / "model", options)
    assert (report.model, report.architecture["prediction"]) == ("ldcsr", "sample")
    assert (report.architecture["scale_embedding"], report.architecture["final_renoise"]) == ("integer", False)


def test_a_checkpoint_of_lcmsr_is_named_as_such(tmp_path: Path) -> None:
    file = save_lightning(tmp_path / "last.ckpt", second_stage("T1000"))
    with pytest.raises(WeightsError, match=r"is not LDCSR's second stage; .* LCMSR's second stage. .*--format lcmsr"):
        import_files([file], tmp_path / "model", REDUCED)
    assert not (tmp_path / "model").exists()

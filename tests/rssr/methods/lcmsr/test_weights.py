from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rssr.card import ModelCard
from rssr.errors import WeightsError
from rssr.methods.lcmsr.inference import official_inference
from rssr.methods.lcmsr.weights import import_files
from rssr.models.latent.network import LatentSR
from rssr.models.loaded import load_model
from rssr.weights.official import ImportOptions
from tests.rssr.weights.published_latent import first_stage, fixed_second_stage, save_lightning, second_stage


def reduced(prediction: str | None = None) -> ImportOptions:
    return ImportOptions(norm_num_groups=8, head_channels=12, prediction=prediction)


@pytest.fixture(scope="module")
def continuous() -> dict[str, Tensor]:
    return second_stage("T1000")


@pytest.fixture(scope="module")
def fixed() -> dict[str, Tensor]:
    return fixed_second_stage()


def loaded_network(folder: Path) -> LatentSR:
    network = load_model(folder).network
    assert isinstance(network, LatentSR)
    return network


@pytest.mark.parametrize(("case", "prediction"), [("x2", None), ("x3.4", "sample")])
def test_an_imported_checkpoint_gives_the_recorded_images(
    case: str,
    prediction: str | None,
    continuous: dict[str, Tensor],
    tmp_path: Path,
    vector_file: Callable[[str], Any],
) -> None:
    import_files([save_lightning(tmp_path / "last.ckpt", continuous)], tmp_path / "model", reduced(prediction))
    vectors = vector_file("lcmsr_sampling")
    noises = [vectors.tensors[f"in/{case}.{name}"] for name in ("x_T", "final_noise_t0")]
    height, width = vectors.tensors[f"out/{case}.sr"].shape[2:]
    network = loaded_network(tmp_path / "model")
    images = official_inference(
        vectors.tensors[f"in/{case}.lr"], network, (height, width), lambda number: noises[number]
    )
    vectors.assert_close(f"out/{case}.sr", images.sr)
    vectors.assert_close(f"out/{case}.sr_kd", images.sr_condition)


def test_a_continuous_checkpoint_takes_the_published_choices(continuous: dict[str, Tensor], tmp_path: Path) -> None:
    report = import_files([save_lightning(tmp_path / "last.ckpt", continuous)], tmp_path / "model", reduced())
    values = report.architecture
    assert (report.model, values["prediction"], values["decoder"]) == ("lcmsr", "noise", "continuous")
    assert (values["final_renoise"], values["scale_embedding"]) == (True, "integer")
    assert (values["num_timesteps"], values["beta_start"], values["beta_end"]) == (1000, 0.0015, 0.0155)
    assert ModelCard.load(tmp_path / "model" / "card.yaml").scale_range == (1, 8)


def test_a_fixed_checkpoint_becomes_a_model_of_its_one_scale(
    fixed: dict[str, Tensor], tmp_path: Path, vector_file: Callable[[str], Any]
) -> None:
    files = [save_lightning(tmp_path / "first.ckpt", first_stage(fixed)), save_lightning(tmp_path / "last.ckpt", fixed)]
    report = import_files(files, tmp_path / "model", reduced())
    assert (report.model, report.architecture["prediction"]) == ("lcmsr-x4", "sample")
    assert report.architecture["num_distillation_blocks"] == [1, 2, 1, 1]
    card = ModelCard.load(tmp_path / "model" / "card.yaml")
    assert (card.name, card.method, card.scale_range) == ("lcmsr-x4-official", "lcmsr", (4, 4))
    vectors = vector_file("lcmsr_fixed_scale_decoder")
    with torch.no_grad():
        sr = loaded_network(tmp_path / "model").decoder(
            vectors.tensors["in/x4.z"], vectors.tensors["in/x4.lr"], (36, 52)
        )
    vectors.assert_close("out/x4.sr", sr)


def test_a_checkpoint_of_ldcsr_is_named_as_such(tmp_path: Path) -> None:
    file = save_lightning(tmp_path / "last.ckpt", second_stage())
    with pytest.raises(WeightsError, match=r"is not LCMSR's second stage; .* LDCSR's second stage. .*--format ldcsr"):
        import_files([file], tmp_path / "model", reduced())


def test_a_first_stage_of_another_decoder_is_refused(
    continuous: dict[str, Tensor], fixed: dict[str, Tensor], tmp_path: Path
) -> None:
    files = [
        save_lightning(tmp_path / "first.ckpt", first_stage(fixed)),
        save_lightning(tmp_path / "last.ckpt", continuous),
    ]
    with pytest.raises(WeightsError, match=r"first\.ckpt do not fit: .* missing .* unexpected"):
        import_files(files, tmp_path / "model", reduced())

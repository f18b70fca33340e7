import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor

from rssr.card import ModelCard
from rssr.errors import WeightsError
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.methods.slimdiffsr.weights import import_slimdiffsr, student_from_diffusers, unused_official_tensors
from rssr.models.loaded import load_model
from rssr.weights.folder import save_model_folder
from rssr.weights.official import import_official


@pytest.fixture(scope="module")
def official_state(student_checkpoint: Path) -> dict[str, Tensor]:
    return load_file(student_checkpoint)


def archive(folder: Path, content: Any, name: str = "net_params_4x.pkl") -> Path:
    torch.save(content, folder / name)
    return folder / name


WRAPPERS = {
    "as published": lambda state: state,
    "without module.": lambda state: {name.removeprefix("module."): value for name, value in state.items()},
    "state_dict": lambda state: {"state_dict": state, "epoch": 1},
    "params_ema": lambda state: {"params_ema": state, "params": {}},
    "net": lambda state: {"net": state},
}


@pytest.mark.parametrize("form", WRAPPERS)
def test_every_form_gives_the_recorded_network(
    form: str, official_state: dict[str, Tensor], tmp_path: Path, vector_file: Callable[[str], Any]
) -> None:
    file = archive(tmp_path, WRAPPERS[form](official_state))
    report = import_slimdiffsr(file, tmp_path / "student", norm_num_groups=8)
    recorded = vector_file("slim_student_network")
    loaded = load_model(tmp_path / "student")
    with torch.no_grad():
        recorded.assert_close("out/image", loaded.network(recorded.tensors["in/lq"]))
    assert report.num_tensors + len(report.unused) == len(official_state) == 596
    assert set(report.unused) == set(unused_official_tensors(loaded.network))
    assert sum(value.numel() for value in official_state.values()) > report.num_parameters


def test_widths_and_depths_are_read_from_the_shapes(tmp_path: Path) -> None:
    values = {
        "block_channels": [16, 32],
        "mid_channels": 48,
        "layers_per_block": 3,
        "taesd_channels": 24,
        "num_encoder_blocks": [2, 1, 3, 1],
        "num_decoder_blocks": [1, 2, 1, 3],
        "norm_num_groups": 8,
        "num_queries": 5,
        "query_channels": 12,
        "fsc_rate": 0.5,
        "dsc_rate": 0.125,
        "bands": 4,
    }
    student = SlimDiffSR(**values)
    state = {**student.state_dict(), **{n: torch.zeros(s) for n, s in unused_official_tensors(student).items()}}
    report = import_slimdiffsr(archive(tmp_path, state), tmp_path / "student", norm_num_groups=8)
    assert report.architecture == student.architecture


def test_unused_tensors_may_be_absent(official_state: dict[str, Tensor], tmp_path: Path) -> None:
    live = {
        name: value
        for name, value in official_state.items()
        if not name.startswith(("module.unet.conv_in", "module.unet.conv_out", "module.unet.time_embedding"))
    }
    report = import_slimdiffsr(archive(tmp_path, live), tmp_path / "student", norm_num_groups=8)
    assert len(report.unused) == 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.pop("module.unet.up_blocks.1.resnets.2.norm2.bias"), r"1 missing \(unet\.up_blocks\.1"),
        (lambda state: state.pop("module.merge_conv1.weight"), r"merge_conv1\.weight is missing"),
        (lambda state: state.update({"module.extra.weight": torch.ones(1)}), r"1 unexpected \(extra\.weight"),
        (lambda state: state.update({"module.merge_conv2.bias": torch.ones(5)}), r"merge_conv2\.bias is \[5\], not"),
        (lambda state: state.update({"module.unet.conv_in.bias": torch.ones(5)}), r"conv_in\.bias is \[5\], not"),
        (lambda state: state.update({"module.vae.decoder.layers.2.conv.0.weight": torch.ones(2)}), "mis-shaped"),
    ],
)
def test_every_misfit_is_named_and_nothing_is_written(
    change: Callable[[dict[str, Tensor]], object], reason: str, official_state: dict[str, Tensor], tmp_path: Path
) -> None:
    state = dict(official_state)
    change(state)
    with pytest.raises(WeightsError, match=reason):
        import_slimdiffsr(archive(tmp_path, state), tmp_path / "student", norm_num_groups=8)
    assert not (tmp_path / "student").exists()


def test_another_methods_checkpoint_is_named(tmp_path: Path) -> None:
    state = {"first_stage_model.decoder.FRUList.0.c.weight": torch.ones(1), "betas": torch.ones(4)}
    with pytest.raises(WeightsError, match=r"by its names it is LDCSR's second stage"):
        import_slimdiffsr(archive(tmp_path, {"state_dict": state}), tmp_path / "student")


def test_our_own_model_file_is_a_checkpoint_too(tiny_architecture: dict[str, Any], tmp_path: Path) -> None:
    student = SlimDiffSR(**tiny_architecture)
    save_model_folder(tmp_path / "own", "slimdiffsr", student.architecture, student, None)
    report = import_slimdiffsr(tmp_path / "own" / "model.safetensors", tmp_path / "again", norm_num_groups=8)
    assert report.unused == ()
    assert report.architecture == student.architecture


@pytest.mark.parametrize(
    ("file_name", "scales"),
    [
        ("net_params_4x.pkl", (4, 4)),
        ("net_params_8x.pkl", (8, 8)),
        ("slim_x8.pkl", (8, 8)),
        ("net_params.pkl", (4, 8)),
        ("run24x7.pkl", (4, 8)),
    ],
)
def test_card_tells_scale_and_origin(
    file_name: str, scales: tuple[float, float], official_state: dict[str, Tensor], tmp_path: Path
) -> None:
    import_official_reduced(archive(tmp_path, official_state, file_name), tmp_path / "student")
    card = ModelCard.load(tmp_path / "student" / "card.yaml")
    assert card.scale_range == scales
    assert (card.color_match, card.bands, card.unofficial_weights) == ("authors", ["red", "green", "blue"], False)
    assert file_name in card.notes


def import_official_reduced(file: Path, folder: Path) -> None:
    return import_slimdiffsr(file, folder, norm_num_groups=8)


def test_import_by_format_name_uses_the_published_groups(official_state: dict[str, Tensor], tmp_path: Path) -> None:
    report = import_official("slimdiffsr", archive(tmp_path, official_state), tmp_path / "student")
    config = json.loads((tmp_path / "student" / "config.json").read_text())
    assert config["architecture"] == report.architecture
    assert report.architecture["norm_num_groups"] == 32


@pytest.fixture(scope="module")
def pretrained() -> tuple[dict[str, Tensor], ...]:
    torch.manual_seed(5)
    unet = UNet2DConditionModel(
        block_out_channels=(16, 32, 48, 48),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=8,
        attention_head_dim=8,
        norm_num_groups=8,
        use_linear_projection=True,
    )
    tiny = AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4)
    return unet.state_dict(), tiny.state_dict()


def student_values(**changes: Any) -> dict[str, Any]:
    base = {"block_channels": [16, 32], "mid_channels": 48, "taesd_channels": 8, "norm_num_groups": 8}
    return {**base, "num_queries": 4, "query_channels": 8, **changes}


def test_retained_modules_start_from_the_pretrained(pretrained: tuple[dict[str, Tensor], ...]) -> None:
    student = SlimDiffSR(**student_values())
    before = {name: value.clone() for name, value in student.state_dict().items()}
    report = student_from_diffusers(*pretrained, student)
    after, (unet, autoencoder) = student.state_dict(), pretrained
    assert sorted(report.retained + report.fresh) == sorted(after)
    for name in report.fresh:
        assert torch.equal(after[name], before[name])
    same = {
        "unet.down_blocks.0.downsamplers.0.conv.weight": unet["down_blocks.0.downsamplers.0.conv.weight"],
        "unet.down_blocks.1.resnets.0.conv_shortcut.weight": unet["down_blocks.1.resnets.0.conv_shortcut.weight"],
        "unet.up_blocks.0.resnets.0.norm1.weight": unet["up_blocks.2.resnets.0.norm1.weight"],
        "unet.up_blocks.0.upsamplers.0.conv.bias": unet["up_blocks.2.upsamplers.0.conv.bias"],
        "unet.up_blocks.1.attentions.2.proj_in.weight": unet["up_blocks.3.attentions.2.proj_in.weight"],
        "unet.mid_block.mid_block.conv_shortcut.weight": unet["down_blocks.2.resnets.0.conv_shortcut.weight"],
        "unet.conv_norm_out.weight": unet["conv_norm_out.weight"],
        "vae.encoder.layers.3.conv.0.weight": autoencoder["encoder.layers.3.conv.0.weight"],
        "vae.decoder.layers.18.weight": autoencoder["decoder.layers.18.weight"],
    }
    for name, source in same.items():
        assert name in report.retained
        assert torch.equal(after[name], source)


def test_only_the_new_modules_are_fresh(pretrained: tuple[dict[str, Tensor], ...]) -> None:
    report = student_from_diffusers(*pretrained, SlimDiffSR(**student_values()))
    new = (".conv1.", ".conv2.", ".attn1.", "merge_conv")
    assert [name for name in report.fresh if not any(part in name for part in new)] == []
    assert [name for name in report.retained if any(part in name for part in new)] == []


def test_standard_modules_are_retained_in_the_ablations(pretrained: tuple[dict[str, Tensor], ...]) -> None:
    values = student_values(first_conv="standard", second_conv="standard", attention="standard", head_channels=8)
    report = student_from_diffusers(*pretrained, SlimDiffSR(**values, autoencoder="taesd"))
    assert report.fresh == []


def test_the_whole_autoencoder_is_retained_where_the_student_has_one(
    pretrained: tuple[dict[str, Tensor], ...],
) -> None:
    widths = (8, 8, 16, 16)
    vae = AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
    )
    values = {"autoencoder": "vae", "vae_channels": widths, "vae_layers_per_block": 1, "vae_norm_num_groups": 4}
    student = SlimDiffSR(**student_values(**values))
    report = student_from_diffusers(pretrained[0], vae.state_dict(), student)
    assert [name for name in report.fresh if name.startswith("vae.")] == []
    assert {name for name in report.retained if name.startswith("vae.")} == {f"vae.{name}" for name in vae.state_dict()}
    assert torch.equal(student.state_dict()["vae.quant_conv.weight"], vae.state_dict()["quant_conv.weight"])
    assert torch.equal(student.state_dict()["unet.conv_in.weight"], pretrained[0]["conv_in.weight"])


def test_other_widths_stay_fresh(pretrained: tuple[dict[str, Tensor], ...]) -> None:
    student = SlimDiffSR(**student_values(block_channels=[24, 40], mid_channels=56))
    report = student_from_diffusers(*pretrained, student)
    assert all(name.startswith("vae.") for name in report.retained)
    assert any(name.startswith("vae.") for name in report.retained)

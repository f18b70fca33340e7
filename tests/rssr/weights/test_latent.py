from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rssr.errors import ModelError, WeightsError
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.network import LatentSR
from rssr.models.loaded import load_model
from rssr.weights.official import ImportOptions, ImportReport, LeftOut, import_official
from tests.rssr.weights.published_latent import LOSS, first_stage, published, save_lightning, second_stage, without

REDUCED = ImportOptions(norm_num_groups=8, head_channels=12)
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def second() -> State:
    return second_stage()


def run_import(
    folder: Path, second: State, first: State | None = None, options: ImportOptions = REDUCED
) -> ImportReport:
    files = [] if first is None else [save_lightning(folder / "first.ckpt", first)]
    return import_official("ldcsr", [*files, save_lightning(folder / "last.ckpt", second)], folder / "model", options)


@pytest.mark.parametrize("raw", [False, True])
def test_every_name_of_both_files_is_accounted_for(raw: bool, second: State, tmp_path: Path) -> None:
    options = ImportOptions(norm_num_groups=8, head_channels=12, raw_weights=raw)
    report = run_import(tmp_path, second, first_stage(second), options)
    assert report.num_tensors + len(report.unused) == len(second) + len(first_stage(second))
    assert sum(group.num_tensors for group in report.groups) == len(report.unused)
    assert sum(group.num_values for group in report.groups) == report.num_unused_parameters
    assert len(set(report.unused)) == len(report.unused)
    values = sum(value.numel() for state in (second, first_stage(second)) for value in state.values())
    assert report.num_parameters + 1 + report.num_unused_parameters == values  # 1: the latent's scaling, a buffer
    other = "moving average" if raw else "raw weights"
    assert [group.what for group in report.groups][:3] == [
        "schedule's tables, which follow from its ends",
        f"denoiser's {other}",
        "moving average's counters",
    ]
    assert report.groups[2] == LeftOut("moving average's counters", 2, 2)


NARROW = {
    "channels": 4,
    "num_res_blocks": 1,
    "norm_num_groups": 2,
    "num_distillation_blocks": [1],
    "denoiser_channels": 4,
    "denoiser_num_res_blocks": 1,
    "denoiser_multipliers": [1],
    "head_channels": 4,
}
OTHERS: dict[str, dict[str, Any]] = {
    "two levels, no attention but the middle's": {
        "channel_multipliers": [2, 1],
        "attention_resolutions": [],
        "denoiser_multipliers": [3, 1],
        "bands": 4,
        "decoder": "fixed",
        "fixed_scale": 2,
    },
    "three levels, each part of its own depth and width": {
        "channel_multipliers": [1, 2, 3],
        "condition_channels": 6,
        "condition_multipliers": [1, 1, 2],
        "condition_num_res_blocks": 3,
        "decoder_channels": 8,
        "decoder_num_res_blocks": 2,
        "num_distillation_blocks": [1, 3],
        "latent_channels": 3,
        "attention_resolutions": [1],
        "upsampler_channels": 5,
    },
    "five levels, attention at some": {
        "channel_multipliers": [1, 1, 2, 2, 3],
        "denoiser_multipliers": [1, 2, 1, 3],
        "denoiser_num_res_blocks": 3,
        "attention_resolutions": [2, 8],
        "latent_channels": 16,
        "num_timesteps": 3,
        "beta_start": 0.02,
        "beta_end": 0.7,
        "decoder": "fixed",
        "fixed_scale": 8,
    },
}


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("case", OTHERS)
def test_widths_depths_and_schedules_are_read_from_the_file(case: str, raw: bool, tmp_path: Path) -> None:
    network = LatentSR(**{**NARROW, **OTHERS[case]})
    state = published(network, ResidualAutoencoder(network.values))
    options = ImportOptions(norm_num_groups=2, head_channels=4, raw_weights=raw)
    report = run_import(tmp_path, state, options=options)
    assert report.architecture == network.architecture
    assert report.num_tensors + len(report.unused) == len(state)
    loaded = load_model(tmp_path / "model").network
    assert loaded is not None
    expected = {
        name: value * (2 if raw and name.startswith("denoiser.") else 1) for name, value in network.state_dict().items()
    }
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())


def test_the_first_stage_may_be_left_out(second: State, tmp_path: Path) -> None:
    report = run_import(tmp_path, second)
    assert report.num_tensors + len(report.unused) == len(second)
    assert len(report.sources) == 1


def test_a_first_stage_that_does_not_travel_in_the_second_is_taken_from_its_own_file(
    second: State, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "apart").mkdir()
    alone = without(second, "first_stage_model.")
    run_import(tmp_path / "whole", second)
    report = run_import(tmp_path / "apart", alone, first_stage(second))
    assert report.num_tensors + len(report.unused) == len(alone) + len(first_stage(second))
    written = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "apart")]
    assert written[0] == written[1]
    with pytest.raises(WeightsError, match=r"last\.ckpt does not hold the first stage .* Give both"):
        run_import(tmp_path, alone)


def test_stages_that_disagree_are_refused_and_the_first_difference_is_named(second: State, tmp_path: Path) -> None:
    first = first_stage(second)
    first["decoder.head.weight"] = first["decoder.head.weight"] + 0.25
    with pytest.raises(WeightsError, match=r"first\.ckpt is not the first stage that .* decoder\.head\.weight .*0\.25"):
        run_import(tmp_path, second, first)
    assert not (tmp_path / "model").exists()


def test_without_a_moving_average_raw_weights_must_be_asked_for(second: State, tmp_path: Path) -> None:
    plain = without(second, "model_ema.")
    with pytest.raises(WeightsError, match=r"no moving average .* --raw-weights"):
        run_import(tmp_path, plain)
    options = ImportOptions(norm_num_groups=8, head_channels=12, raw_weights=True)
    assert run_import(tmp_path, plain, options=options).num_tensors > 0


DAMAGES: dict[str, tuple[Callable[[State], State], str]] = {
    "missing": (lambda s: without(s, "cond_stage_model.norm_out.bias"), "1 missing (cond_stage_model.norm_out.bias)"),
    "missing average": (
        lambda s: without(s, "model_ema.diffusion_modelout2bias"),
        "1 missing (model_ema.diffusion_modelout2bias)",
    ),
    "missing and not needed": (lambda s: without(s, "posterior_variance"), "1 missing (posterior_variance)"),
    "unexpected": (lambda s: {**s, "model.extra": torch.ones(1)}, "1 unexpected (model.extra)"),
    "mis-shaped": (
        lambda s: {**s, "cond_stage_model.norm_out.bias": torch.ones(5)},
        "1 mis-shaped (cond_stage_model.norm_out.bias is [5], not [48])",
    ),
    "mis-shaped and not needed": (
        lambda s: {**s, "first_stage_model.quant_conv.bias": torch.ones(5)},
        "first_stage_model.quant_conv.bias is [5], not [8]",
    ),
    "not a number": (
        lambda s: {**s, "cond_stage_model.norm_out.bias": torch.full((48,), torch.nan)},
        "cond_stage_model.norm_out.bias holds values that are not finite",
    ),
    "whole numbers": (
        lambda s: {**s, "cond_stage_model.norm_out.bias": torch.ones(48, dtype=torch.int64)},
        "cond_stage_model.norm_out.bias holds values that are not finite",
    ),
    "no scaling": (lambda s: {**s, "scale_factor": torch.tensor(0.0)}, "scale_factor is 0.0, not above 0"),
    "no schedule": (lambda s: without(s, "betas"), "by its names it is LDCSR's or LCMSR's second stage"),
    "first stage alone": (first_stage, "Give FIRST.ckpt SECOND.ckpt OUT, in this order."),
    "another network": (lambda _: {"unet.mid_block.mid_block.norm1.weight": torch.ones(1)}, "SlimDiffSR's student"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_does_not_fit_is_named_and_leaves_nothing(damage: str, second: State, tmp_path: Path) -> None:
    spoil, expected = DAMAGES[damage]
    with pytest.raises(WeightsError) as raised:
        run_import(tmp_path, spoil(second))
    assert expected in str(raised.value)
    assert "last.ckpt" in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda s: without(s, "encoder.norm_out.bias"), "1 missing (encoder.norm_out.bias)"),
        (lambda s: {**s, "loss.surprise": torch.ones(1)}, "1 unexpected (loss.surprise)"),
        (lambda s: {**s, "quant_conv.bias": torch.ones(5)}, "quant_conv.bias is [5], not [8]"),
        (second_stage, "is no first stage of ldcsr; by its names it is"),
    ],
)
def test_a_first_stage_is_accounted_for_too(
    spoil: Callable[..., State], expected: str, second: State, tmp_path: Path
) -> None:
    first = second_stage() if spoil is second_stage else spoil(first_stage(second))
    with pytest.raises(WeightsError) as raised:
        run_import(tmp_path, second, first)
    assert expected in str(raised.value)
    assert "first.ckpt" in str(raised.value)


def test_a_first_stage_without_its_loss_is_enough(second: State, tmp_path: Path) -> None:
    report = run_import(tmp_path, second, without(first_stage(second), "loss."))
    assert not any(name in LOSS for name in report.unused)


@pytest.mark.parametrize(
    "options", [ImportOptions(norm_num_groups=7, head_channels=12), ImportOptions(norm_num_groups=8, head_channels=32)]
)
def test_options_that_do_not_divide_the_widths_are_refused(
    options: ImportOptions, second: State, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"cannot split"):
        run_import(tmp_path, second, options=options)


def test_importing_moves_no_ones_generator(second: State, tmp_path: Path) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    run_import(tmp_path, second)
    assert torch.equal(torch.rand(1), wanted)

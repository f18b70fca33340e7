import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from rssr.errors import WeightsError
from rssr.weights.official import import_official, known_formats, read_checkpoint, recognise

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1)}


def wrapped(form: str) -> dict[str, Any]:
    return {
        "bare": STATE,
        "state_dict": {"epoch": 3, "state_dict": STATE, "optimizer_states": []},
        "params": {"params": STATE},
        "params_ema": {"params": {name: value + 1 for name, value in STATE.items()}, "params_ema": STATE},
        "net": {"net": STATE, "acc": 0.5},
        "nested": {"model": {"state_dict": STATE}},
        "module": {f"module.{name}": value for name, value in STATE.items()},
        "module in state_dict": {"state_dict": {f"module.{name}": value for name, value in STATE.items()}},
    }[form]


@pytest.mark.parametrize(
    "form", ["bare", "state_dict", "params", "params_ema", "net", "nested", "module", "module in state_dict"]
)
def test_usual_wrappers_are_taken_off(tmp_path: Path, form: str) -> None:
    torch.save(wrapped(form), tmp_path / "weights.pkl")
    state = read_checkpoint(tmp_path / "weights.pkl")
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[name], STATE[name]) for name in STATE)


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(wrapped("module"), tmp_path / "weights.safetensors")
    assert read_checkpoint(tmp_path / "weights.safetensors").keys() == STATE.keys()


class Payload:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("protocol", ["torch", "pickle"])
def test_code_in_a_file_is_never_run(tmp_path: Path, protocol: str) -> None:
    target, file = tmp_path / "owned", tmp_path / "weights.pkl"
    if protocol == "torch":
        torch.save({"a": torch.ones(1), "b": Payload(str(target))}, file)
    else:
        file.write_bytes(pickle.dumps(Payload(str(target)), protocol=2))
    with pytest.raises(WeightsError, match="more than tensors"):
        read_checkpoint(file)
    assert not target.exists()


@pytest.mark.parametrize("content", [{}, [], {"epoch": 3}, torch.ones(2)])
def test_files_without_named_tensors_are_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "weights.pkl")
    with pytest.raises(WeightsError, match=r"no tensors"):
        read_checkpoint(tmp_path / "weights.pkl")


@pytest.mark.parametrize("suffix", [".pkl", ".safetensors"])
def test_damaged_files_are_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pkl":
        torch.save(STATE, file)
    else:
        save_file(STATE, file)
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no weights at all"):
        file.write_bytes(content)
        with pytest.raises(WeightsError, match=r"weights\.(pkl|safetensors)"):
            read_checkpoint(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere"):
        read_checkpoint(tmp_path / "nowhere.pkl")


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("unet.mid_block.mid_block.norm1.weight", "SlimDiffSR's student"),
        ("first_stage_model.decoder.FRUList.0.IMDB.0.c1.weight", "LDCSR's or LCMSR's second stage"),
        ("model.diffusion_model.osize_embed.0.weight", "LDCSR's or LCMSR's second stage"),
        ("condition_encoder.conv_in.weight", "a network of LDCSR or LCMSR in a model folder of rssr"),
        ("decoder.style.weight", "the first stage of LDCSR (and of LCMSR with a continuous scale)"),
        ("decoder.FRUList.0.weight", "LCMSR's first stage with a fixed scale"),
        ("model.diffusion_model.time_embed.0.weight", "an original Stable Diffusion checkpoint"),
        ("post_quant_conv.weight", "a diffusers AutoencoderKL"),
        ("what.is.this", "unknown"),
    ],
)
def test_checkpoints_are_recognised_by_their_names(name: str, title: str) -> None:
    assert recognise({name: torch.zeros(1), "other": torch.zeros(1)}) == title


@pytest.mark.parametrize(
    ("num_timesteps", "title"),
    [(4, "LDCSR's second stage"), (16, "LDCSR's second stage"), (1000, "LCMSR's second stage")],
)
def test_the_length_of_the_schedule_tells_the_second_stages_apart(num_timesteps: int, title: str) -> None:
    names = ["first_stage_model.decoder.FRUList.0.c.weight", "model.diffusion_model.out.0.weight"]
    assert recognise({**dict.fromkeys(names, torch.zeros(1)), "betas": torch.zeros(num_timesteps)}) == title


def test_an_original_stable_diffusion_checkpoint_is_not_taken_for_another() -> None:
    names = ["first_stage_model.encoder.conv_in.weight", "model.diffusion_model.out.0.weight"]
    state = {**dict.fromkeys(names, torch.zeros(1)), "betas": torch.zeros(1000)}
    assert recognise(state) == "an original Stable Diffusion checkpoint"


@pytest.mark.parametrize("zipped", [True, False])
def test_no_garbled_archive_does_more_than_be_refused(tmp_path: Path, zipped: bool) -> None:
    file, draw = tmp_path / "weights.pkl", random.Random(1)
    torch.save({**STATE, "epoch": None}, file, _use_new_zipfile_serialization=zipped)
    whole, refused = file.read_bytes(), 0
    for _ in range(300):
        garbled = bytearray(whole)
        for _ in range(draw.choice([1, 5, 40])):
            garbled[draw.randrange(min(len(whole), 900))] = draw.randrange(256)
        file.write_bytes(garbled)
        try:
            read_checkpoint(file)
        except WeightsError:
            refused += 1
    assert refused > 200


def test_unknown_format_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=", ".join(known_formats())):
        import_official("onnx", tmp_path / "x", tmp_path / "y")

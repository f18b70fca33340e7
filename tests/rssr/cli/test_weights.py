import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rssr.card import ModelCard
from rssr.cli import main
from rssr.errors import WeightsError
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.methods.slimdiffsr.weights import unused_official_tensors
from rssr.models.loaded import load_model
from tests.rssr.weights.published_latent import REDUCED, first_stage, save_lightning, second_stage

LAYOUT = Path(__file__).parents[2] / "layouts" / "slim_net_params.json"


@pytest.fixture(scope="module")
def student(tiny_architecture: dict[str, Any]) -> SlimDiffSR:
    torch.manual_seed(3)
    return SlimDiffSR(**tiny_architecture).eval()


@pytest.fixture(scope="module")
def official(student: SlimDiffSR) -> dict[str, Tensor]:
    """The student as its authors would publish it: with what no forward pass reads."""
    unused = {name: torch.rand(shape) for name, shape in unused_official_tensors(student).items()}
    return {**student.state_dict(), **unused}


def run_import(file: Path, out: Path, *options: str) -> int:
    return main(["weights", "import", "--format", "slimdiffsr", str(file), str(out), *options])


def prefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": value for name, value in state.items()}


FORMS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "bare": dict,
    "module.": prefixed,
    "state_dict": lambda state: {"state_dict": prefixed(state), "epoch": 7, "optimizer_states": []},
    "params_ema": lambda state: {"params": {}, "params_ema": state},
    "net": lambda state: {"net": prefixed(state)},
}


@pytest.mark.parametrize("form", FORMS)
def test_an_official_file_becomes_a_model_that_computes_the_same(
    form: str, student: SlimDiffSR, official: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "net_params_4x.pkl", tmp_path / "models" / "student"
    torch.save(FORMS[form](official), file)
    assert run_import(file, out, "--norm-num-groups", "8") == 0
    assert sorted(path.name for path in out.iterdir()) == ["card.yaml", "config.json", "model.safetensors"]
    image = torch.rand(1, 3, 32, 48) * 2 - 1
    network = load_model(out).network
    assert network is not None
    with torch.no_grad():
        assert torch.equal(network(image), student(image))
    assert ModelCard.load(out / "card.yaml").scale_range == (4, 4)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert hashlib.sha256(file.read_bytes()).hexdigest() in printed.out
    live, unused = student.state_dict(), unused_official_tensors(student)
    assert f"taken: {len(live)} tensors, {sum(t.numel() for t in live.values()):,} parameters" in printed.out
    num_unused = sum(official[name].numel() for name in unused)
    assert f"left out: {len(unused)} tensors, {num_unused:,} parameters" in printed.out
    assert [line.strip() for line in printed.out.splitlines() if line.startswith("  ")] == list(unused)


def test_a_file_of_the_published_size_is_imported_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = json.loads(LAYOUT.read_text())["tensors"]
    # One value behind every tensor: the file stays small, the network does not.
    state = {name: torch.full((1,), 0.01).expand(shape) for name, (shape, _) in layout.items()}
    torch.save(state, tmp_path / "net_params_8x.pkl")
    assert run_import(tmp_path / "net_params_8x.pkl", tmp_path / "student") == 0
    printed = capsys.readouterr().out
    assert "taken: 584 tensors, 55,974,802 parameters" in printed
    assert "left out: 12 tensors, 2,078,600 parameters" in printed
    config = json.loads((tmp_path / "student" / "config.json").read_text())["architecture"]
    assert (config["block_channels"], config["mid_channels"], config["norm_num_groups"]) == ([320, 640], 1280, 32)
    assert ModelCard.load(tmp_path / "student" / "card.yaml").scale_range == (8, 8)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(("method", "schedule"), [("ldcsr", "T4"), ("lcmsr", "T1000")])
def test_latent_methods_are_imported_from_one_file_or_two(
    method: str, schedule: str, apart: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = second_stage(schedule)
    files = [save_lightning(tmp_path / "last.ckpt", second)]
    files[:0] = [save_lightning(tmp_path / "epoch=779-best.ckpt", first_stage(second))] if apart else []
    out = tmp_path / "model"
    assert main(["weights", "import", "--format", method, *map(str, files), str(out), *REDUCED]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for file in files:
        assert f"{file}: {method}, SHA-256 {hashlib.sha256(file.read_bytes()).hexdigest()}" in printed.out
    num_taken, num_left = (int(printed.out.split(f"{word}: ")[1].split()[0]) for word in ("taken", "left out"))
    assert num_taken + num_left == len(second) + (len(first_stage(second)) if apart else 0)
    assert "  denoiser's raw weights: tensors " in printed.out
    assert ("  first stage's discriminator, for its training loss: tensors 1, values" in printed.out) == apart
    assert load_model(out).name == method


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--format", "slimdiffsr", "a.ckpt", "b.ckpt", "out"], "'slimdiffsr' takes one file, not 2"),
        (["--format", "slimdiffsr", "a.ckpt", "out", "--raw-weights"], "no moving average"),
        (["--format", "slimdiffsr", "a.ckpt", "out", "--prediction", "noise"], "Leave out --raw-weights"),
        (["--format", "ldcsr", "a.ckpt", "b.ckpt", "c.ckpt", "out"], "takes one or two files, not 3"),
        (["--format", "ldcsr", "nowhere.ckpt", "out"], "There is no file nowhere.ckpt"),
        (["--format", "lcmsr", "a.ckpt", "nowhere.ckpt", "out"], "There is no file nowhere.ckpt"),
    ],
)
def test_files_and_options_of_another_format_are_refused(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.ckpt", "b.ckpt", "c.ckpt"):
        torch.save({"a": torch.ones(1)}, name)
    assert main(["weights", "import", *arguments]) == 2
    printed = capsys.readouterr().err
    assert expected in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "out").exists()


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.target),)


Damage = Callable[[dict[str, Tensor], Path], Any]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "code": (lambda state, folder: {**state, "extra": Payload(folder / "owned")}, "holds more than tensors"),
    "missing": (lambda state, _: without(state, "unet.mid_block.mid_block.norm1.bias"), "1 missing (unet.mid_block"),
    "unexpected": (lambda state, _: {**state, "extra.weight": torch.ones(1)}, "1 unexpected (extra.weight)"),
    "mis-shaped": (lambda state, _: {**state, "merge_conv2.bias": torch.ones(5)}, "merge_conv2.bias is [5], not [8]"),
    "unused mis-shaped": (lambda state, _: {**state, "unet.conv_in.bias": torch.ones(5)}, "conv_in.bias is [5]"),
    "another method": (
        lambda _, __: {"first_stage_model.decoder.FRUList.0.c.weight": torch.ones(1), "betas": torch.ones(4)},
        "by its names it is LDCSR's second stage",
    ),
    "another method's objects": (
        lambda _, folder: {"state_dict": {"model.diffusion_model.osize_embed.a": torch.ones(1)}, "x": Payload(folder)},
        "was not opened; by its names it is LDCSR's or LCMSR's second stage. Check the format",
    ),
    "no tensors": (lambda _, __: [1, 2], "holds no tensors by name"),
}


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_does_not_fit_is_one_paragraph_and_leaves_nothing(
    damage: str, official: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, expected = DAMAGES[damage]
    torch.save(spoil(official, tmp_path), tmp_path / "weights.pkl")
    assert run_import(tmp_path / "weights.pkl", tmp_path / "student", "--norm-num-groups", "8") == 2
    printed = capsys.readouterr()
    assert expected in printed.err
    assert str(tmp_path / "weights.pkl") in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pkl"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--format", "onnx", "weights.pkl", "student"], "no format 'onnx'. Known are: slimdiffsr"),
        (["--format", "slimdiffsr", "nowhere.pkl", "student"], "There is no file"),
        (["--format", "slimdiffsr", "weights.pkl", "weights.pkl"], "exists and is no model folder"),
        (["--format", "slimdiffsr", "weights.pkl", "weights.pkl/student"], "weights.pkl: File exists"),
        (["--format", "slimdiffsr", "weights.pkl", "student", "--norm-num-groups", "7"], "norm_num_groups"),
        (["--format", "slimdiffsr", "weights.pkl", "student", "--norm-num-groups", "0"], "norm_num_groups"),
    ],
)
def test_wrong_arguments_are_explained(
    arguments: list[str],
    expected: str,
    official: dict[str, Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(official, "weights.pkl")
    groups = [] if "--norm-num-groups" in arguments else ["--norm-num-groups", "8"]
    assert main(["weights", "import", *arguments, *groups]) == 2
    printed = capsys.readouterr().err
    assert expected in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "student").exists()


@pytest.mark.parametrize("arguments", [[], ["import"], ["import", "weights.pkl", "student"]])
def test_action_format_and_paths_are_required(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["weights", *arguments])
    assert stopped.value.code == 2
    assert "required" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["weights", "--debug", "import"], ["weights", "import", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no file"):
        main([*arguments, "--format", "slimdiffsr", str(tmp_path / "nowhere.pkl"), str(tmp_path / "student")])

import functools
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from rssr.errors import ModelError
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.models import export
from rssr.models.export import INPUT_NAME, METADATA_KEY, OUTPUT_NAME, TOLERANCE, export_model
from rssr.models.loaded import LoadedModel, load_model
from rssr.models.registry import build_resolver

# Odd batches, sides of an odd number of strides, wide and high.
ODD_SHAPES = [(1, 3, 32, 80), (3, 3, 48, 32), (5, 3, 112, 48)]


def loaded(network: SlimDiffSR) -> LoadedModel:
    return LoadedModel("slimdiffsr", build_resolver("slimdiffsr", network), network, network.architecture, None)


@pytest.fixture(scope="module")
def model(tiny_architecture: dict[str, Any]) -> LoadedModel:
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return loaded(SlimDiffSR(**tiny_architecture).eval())


@pytest.fixture(scope="module")
def trace_once() -> Iterator[None]:
    """Files of one network in both formats follow from one trace, which takes the longest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_traced", functools.cache(export._traced))
        patch.setattr(export, "copy", types.SimpleNamespace(deepcopy=lambda network: network))
        yield


@pytest.fixture(scope="module")
def onnx_file(model: LoadedModel, trace_once: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "student.onnx"
    export_model(model, path, size=64)
    return path


@pytest.fixture(scope="module")
def pt2_file(model: LoadedModel, trace_once: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "student.pt2"
    export_model(model, path, size=64)
    return path


@pytest.fixture(scope="module")
def program(pt2_file: Path) -> export.Runner:
    return torch.export.load(pt2_file).module()


def run_onnx(path: Path, x: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([OUTPUT_NAME], {INPUT_NAME: x.numpy()})[0])


@torch.no_grad()
def assert_same(found: Tensor, network: nn.Module | None, x: Tensor) -> None:
    assert network is not None
    expected = network(x)
    assert expected.std() > 1e-3  # nothing to compare otherwise
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("shape", ODD_SHAPES)
def test_onnxruntime_gives_the_network_s_output(
    onnx_file: Path, model: LoadedModel, shape: tuple[int, ...], generator: torch.Generator
) -> None:
    x = torch.rand(shape, generator=generator) * 2 - 1
    assert_same(run_onnx(onnx_file, x), model.network, x)


@pytest.mark.parametrize("shape", ODD_SHAPES)
def test_the_program_gives_the_network_s_output(
    program: export.Runner, model: LoadedModel, shape: tuple[int, ...], generator: torch.Generator
) -> None:
    x = torch.rand(shape, generator=generator) * 2 - 1
    with torch.no_grad():
        found = program(x)
    assert_same(found, model.network, x)


ABLATIONS = {
    "wo-fsc": {"first_conv": "standard"},
    "wo-dsc": {"second_conv": "standard"},
    "wo-sap": {"block_channels": [16, 16, 32], "mid_block": "attention", "num_plain_levels": 1},
    "taesd": {"autoencoder": "taesd"},
    "vae": {"autoencoder": "vae", "vae_channels": [8, 16, 16, 16]},
}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"attention": "standard", "head_channels": 16}, id="wo-qgam"),
        *(pytest.param(change, id=name, marks=pytest.mark.long) for name, change in ABLATIONS.items()),
    ],
)
def test_every_ablation_has_a_program(
    change: dict[str, Any], tiny_architecture: dict[str, Any], generator: torch.Generator
) -> None:
    network = SlimDiffSR(**{**tiny_architecture, **change}).eval()
    program = export._traced(network, network.stride, bands=3)
    x = torch.rand((3, 3, 3 * network.stride, 2 * network.stride), generator=generator) * 2 - 1
    with torch.no_grad():
        found = program.module()(x)
    assert_same(found, network, x)


def test_files_say_what_they_take(onnx_file: Path, pt2_file: Path) -> None:
    properties = {entry.key: entry.value for entry in onnx.load(onnx_file).metadata_props}
    extra = {f"{METADATA_KEY}.json": ""}
    torch.export.load(pt2_file, extra_files=extra)
    facts = json.loads(extra[f"{METADATA_KEY}.json"])
    assert json.loads(properties[METADATA_KEY]) == facts
    assert (facts["model"], facts["stride"], facts["min_side"], facts["value_range"]) == ("slimdiffsr", 16, 32, [-1, 1])


def test_an_onnx_file_needs_no_other_file(onnx_file: Path) -> None:
    assert [path.name for path in onnx_file.parent.iterdir()] == [onnx_file.name]
    onnx.checker.check_model(onnx_file, full_check=True)


def test_a_file_that_differs_from_its_network_is_not_published(
    model: LoadedModel, trace_once: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "student.pt2"
    path.write_bytes(b"the old one")
    load = export._load_pt2

    def load_spoilt(path: Path) -> export.Runner:
        run = load(path)
        return lambda x: run(x) + 3 * TOLERANCE

    monkeypatch.setattr(export, "_load_pt2", load_spoilt)
    with pytest.raises(ModelError, match="off by"):
        export_model(model, path, size=64)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "size", "word"),
    [("student.pth", 64, "onnx or .pt2"), ("student.pt2", 40, "multiple of 16"), ("student.pt2", 16, "at least 32")],
)
def test_mistakes_are_named(model: LoadedModel, tmp_path: Path, name: str, size: int, word: str) -> None:
    with pytest.raises(ModelError, match=word):
        export_model(model, tmp_path / name, size)
    assert list(tmp_path.iterdir()) == []


def test_bicubic_has_no_network_to_export(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="bicubic cannot be exported"):
        export_model(load_model("bicubic"), tmp_path / "bicubic.onnx")


def test_without_the_extra_the_remedy_is_named(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"rssr\[export\]"):
        export_model(model, tmp_path / "student.onnx", size=64)

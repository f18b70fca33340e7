from pathlib import Path
from typing import Any

import pytest
import torch

from rssr.cli import main
from rssr.models.registry import create_model
from rssr.weights.folder import save_model_folder


@pytest.fixture
def folder(tiny_architecture: dict[str, Any], tmp_path: Path) -> Path:
    student = create_model("slimdiffsr", **tiny_architecture).to(torch.bfloat16)
    save_model_folder(tmp_path / "student", "slimdiffsr", student.architecture, student, None)
    return tmp_path / "student"


def test_a_model_folder_becomes_a_program(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], generator: torch.Generator
) -> None:
    out = tmp_path / "student.pt2"
    assert main(["export", str(folder), str(out), "--size", "32"]) == 0
    assert "sides multiples of 16 from 32 pixels" in capsys.readouterr().out
    x = torch.rand(3, 3, 32, 48, generator=generator) * 2 - 1
    with torch.no_grad():
        assert torch.export.load(out).module()(x).shape == x.shape
    assert main(["export", str(folder), str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "name", "word"),
    [("nonsense", "a.onnx", "nonsense"), ("bicubic", "a.onnx", "cannot be exported"), (None, "a.pth", ".onnx or .pt2")],
)
def test_mistakes_give_one_paragraph_and_status_2(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str | None, name: str, word: str
) -> None:
    assert main(["export", model or str(folder), str(tmp_path / name)]) == 2
    printed = capsys.readouterr().err
    assert word in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / name).exists()

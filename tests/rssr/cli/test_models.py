import json
from pathlib import Path

import pytest

from rssr.cli import main
from rssr.models.registry import list_models


def test_every_model_is_listed_with_its_parameters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSSR_MODELS", str(tmp_path))
    assert main(["models", "--json"]) == 0
    lines = {line["name"]: line for line in json.loads(capsys.readouterr().out)}
    assert list(lines) == list_models()
    assert lines["bicubic"]["live_parameters"] == 0
    assert lines["bicubic"]["weights"] is None
    for line in lines.values():
        if line["difference"] is not None:
            assert line["difference"] == line["published_parameters"] - line["live_parameters"]
            assert line["difference"] == sum(line["difference_parts"].values())


def test_weights_are_found_where_they_lie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSSR_MODELS", str(tmp_path))
    folder = tmp_path / "slimdiffsr"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes(b"{}")
    assert main(["models"]) == 0
    rows = {row.split()[0]: row for row in capsys.readouterr().out.splitlines()}
    assert str(folder) in rows["slimdiffsr"]
    assert "not found" in rows["slimdiffsr-taesd"]
    assert "not needed" in rows["bicubic"]

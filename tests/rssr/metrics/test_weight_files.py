import importlib.util
from pathlib import Path

import pytest

from rssr.errors import ConfigError
from rssr.metrics import METRICS, find_missing, metric_weights_folder
from rssr.metrics.weight_files import WEIGHT_FILES
from rssr.weights.missing import weights_error


def test_the_folder_is_the_one_given_or_that_of_the_environment_or_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RSSR_METRIC_WEIGHTS", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert metric_weights_folder() == tmp_path / ".local/share/rssr/metrics"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # which the standard has ignored
    assert metric_weights_folder() == tmp_path / ".local/share/rssr/metrics"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert metric_weights_folder() == tmp_path / "data/rssr/metrics"
    monkeypatch.setenv("RSSR_METRIC_WEIGHTS", "~/metrics")
    assert metric_weights_folder() == tmp_path / "metrics"
    assert metric_weights_folder("given") == Path("given").absolute()


def test_every_file_of_a_metric_has_an_origin_and_a_licence() -> None:
    used = {file for spec in METRICS.values() for file in spec.weights}
    assert used == WEIGHT_FILES.keys()
    for spec in METRICS.values():
        for file in spec.weights:
            assert WEIGHT_FILES[file].origin in spec.source
            assert WEIGHT_FILES[file].licence in spec.source


def test_what_is_missing_is_told_by_metric(tmp_path: Path) -> None:
    first, second = METRICS["lpips"].weights
    (tmp_path / first).write_bytes(b"")
    (tmp_path / METRICS["niqe"].weights[0]).write_bytes(b"")
    missing = find_missing(["psnr_y", "lpips", "niqe", "fid"], tmp_path)
    assert list(missing) == ["lpips", "fid"]
    assert missing["lpips"].name == second
    assert missing["lpips"].place == f"not in {tmp_path}"
    assert "fetch_weights" in missing["lpips"].command
    assert "lpips" in missing["lpips"].instead
    assert str(tmp_path) in missing["lpips"].setting


def test_a_package_that_is_missing_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyiqa" else found(name))
    (tmp_path / METRICS["niqe"].weights[0]).write_bytes(b"")
    missing = find_missing(["psnr_y", "niqe", "fid"], tmp_path)
    assert missing["niqe"].command == "pip install 'rssr[eval]'"
    assert missing["niqe"].place == "pyiqa is not installed"
    assert missing["fid"].command.startswith("pip install 'rssr[eval]' && python -c")
    assert "PolyForm-Noncommercial" in str(weights_error(list(missing.values())))


def test_unknown_metrics_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="psnr_y"):
        find_missing(["lpip"], tmp_path)

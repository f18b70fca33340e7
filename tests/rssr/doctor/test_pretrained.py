from pathlib import Path

import pytest

from rssr.doctor import DoctorOptions, State
from rssr.doctor.pretrained import check_base_weights, check_metric_weights
from rssr.metrics.learned_specs import LEARNED_SPECS
from rssr.metrics.weight_files import FOLDER_VARIABLE, WEIGHT_FILES


def layout(folder: Path, *parts: str) -> None:
    for part in parts:
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text("{}")


@pytest.mark.parametrize("tiny", ["sd/taesd", "taesd"])
def test_a_directory_with_all_parts_is_found(tmp_path: Path, tiny: str) -> None:
    layout(tmp_path, "sd/unet", "sd/vae", "sd/scheduler", tiny)
    finding = check_base_weights(DoctorOptions(base_weights=tmp_path / "sd"))
    assert finding.state is State.OK


def test_a_directory_that_lacks_a_part_fails_with_the_command_that_brings_it(tmp_path: Path) -> None:
    layout(tmp_path, "sd/unet", "sd/scheduler", "sd/taesd")
    finding = check_base_weights(DoctorOptions(base_weights=tmp_path / "sd"))
    assert finding.state is State.FAILED
    assert f"hf download stabilityai/sd-turbo --local-dir {tmp_path / 'sd'}" in finding.remedy
    assert "taesd" not in finding.found


def test_an_empty_cache_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    finding = check_base_weights(DoctorOptions())
    assert finding.state is State.SKIPPED
    assert "hf download stabilityai/sd-turbo" in finding.remedy


def test_missing_weights_of_metrics_come_with_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    finding = check_metric_weights(DoctorOptions())
    assert finding.state is State.SKIPPED
    assert all(spec.name in finding.found for spec in LEARNED_SPECS)
    assert "fetch_weights" in finding.remedy
    assert str(tmp_path) in finding.remedy


def test_weights_that_are_there_are_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    [lpips] = [spec for spec in LEARNED_SPECS if spec.name == "lpips"]
    for name in lpips.weights:
        (tmp_path / name).touch()
    finding = check_metric_weights(DoctorOptions())
    assert finding.found.startswith("lpips can be measured; not dists")
    assert '"lpips"' not in finding.remedy
    for name in WEIGHT_FILES:
        (tmp_path / name).touch()
    assert check_metric_weights(DoctorOptions()).state is State.OK

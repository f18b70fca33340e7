import json
from pathlib import Path

import pytest

from rssr import __version__
from rssr.cli import main

OWN = {"python", "packages", "torch", "cuda", "gdal", "projections", "disk.output", "disk.temporary", "golden"}
STATES = {"ok", "skipped", "warning", "failed"}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No servers, and a folder without anything."""
    for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_json_has_the_documented_keys_and_every_finding(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["rssr", "exit_status", "findings"]
    assert (told["rssr"], told["exit_status"]) == (__version__, status)
    findings = {finding["name"]: finding for finding in told["findings"]}
    assert findings.keys() >= OWN | {"weights.base", "weights.metrics"}
    for finding in told["findings"]:
        assert list(finding) == ["name", "state", "found", "remedy"]
        assert finding["state"] in STATES
        assert finding["found"]
        assert finding["remedy"] or finding["state"] in ("ok", "skipped")
        assert "\n" not in finding["found"] + finding["remedy"]
    failures = [finding for finding in told["findings"] if finding["state"] == "failed"]
    assert (status == 0) == (not failures)


def test_without_a_failure_the_status_is_0_whatever_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--no-golden", "--least-free", "1000000"]) == 0
    out = capsys.readouterr().out
    assert "warning  disk.output: " in out
    assert "         -> Make room" in out
    assert "golden" not in out
    assert " ok" in out.splitlines()[-1]
    assert " warning" in out.splitlines()[-1]


def test_what_will_fail_is_status_2_and_says_what_to_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["doctor", "--no-golden", "--base-weights", str(tmp_path / "none")]) == 2
    captured = capsys.readouterr()
    assert "failed   weights.base: " in captured.out
    assert "hf download" in captured.out
    assert "1 failed" in captured.out.splitlines()[-1]
    assert "Traceback" not in captured.out + captured.err


@pytest.mark.parametrize("size", ["-1", "nan", "1e30"])
def test_impossible_sizes_are_refused(capsys: pytest.CaptureFixture[str], size: str) -> None:
    assert main(["doctor", f"--least-free={size}"]) == 2
    assert "--least-free" in capsys.readouterr().err

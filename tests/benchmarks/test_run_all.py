import subprocess
from pathlib import Path

import pytest

from benchmarks import run_all

FOLDER = Path(run_all.__file__).parent


def test_every_benchmark_there_is_to_run_is_a_file() -> None:
    assert [name for name in run_all.BENCHMARKS if not (FOLDER / f"{name}.py").is_file()] == []


def test_one_that_fails_does_not_keep_the_others_from_running(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def run(command: list[str], **_: object) -> "subprocess.CompletedProcess[bytes]":
        ran.append(Path(command[1]).stem)
        return subprocess.CompletedProcess(command, 3 if ran[-1] == "data" else 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert run_all.main([]) == 1
    assert ran == list(run_all.BENCHMARKS)
    told = capsys.readouterr().out
    assert "data: exit status 3" in told
    assert "latent: ok" in told


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_all.main(["speed"]) == 2
    assert "degradation" in capsys.readouterr().err

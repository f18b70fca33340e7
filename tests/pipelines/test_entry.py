import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.entry import PRESETS, find_preset, parse, run_job
from rssr.configuration import Config
from rssr.errors import CompletedWithFailures, ConfigError, ExitCode, ImageError, Refused, StorageError

ROOT = Path(__file__).parents[2]
JOB = ROOT / "jobs" / "slimdiffsr.py"
KNOWN = "quickstart/slimdiffsr"


class Demo(Config):
    """Keys of a job."""

    num_steps: int = 3
    """Optimizer steps."""
    uri: str = "runs"
    """Where things go."""


@dataclass(frozen=True)
class Outcome:
    """What a user sees of a command."""

    status: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Command]:
    """Run the demo job as if typed; what it does is a parameter."""
    preset = tmp_path / "demo.yaml"
    preset.write_text("num_steps: 5\n")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str, job: Callable[[Demo], ExitCode] = lambda config: ExitCode.DONE) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["jobs/demo.py", *arguments])
        status = run_job(Demo, job, str(preset), "Does something.")
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)


def fails_with(error: BaseException) -> Callable[[Demo], ExitCode]:
    def job(config: Demo) -> ExitCode:
        raise error

    return job


def assert_one_paragraph(outcome: Outcome) -> None:
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


def test_the_default_preset_and_overrides_reach_the_job(command: Command) -> None:
    seen: list[Demo] = []

    def job(config: Demo) -> ExitCode:
        seen.append(config)
        return ExitCode.DONE

    assert command(job=job).status == 0
    command("uri=/data", job=job)
    assert seen == [Demo(num_steps=5), Demo(num_steps=5, uri="/data")]


def test_the_jobs_own_status_is_the_commands(command: Command) -> None:
    assert command(job=lambda config: ExitCode.COMPLETED_WITH_FAILURES).status == 3


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("It broke.", "Mend it."), 2),
        (StorageError("It broke.", "Mend it."), 2),
        (CompletedWithFailures("It broke.", "Mend it."), 3),
        (Refused("It broke.", "Mend it."), 4),
    ],
)
def test_errors_raised_on_purpose_are_one_paragraph_and_their_status(
    command: Command, error: Exception, status: int
) -> None:
    outcome = command(job=fails_with(error))
    assert outcome.status == status
    assert_one_paragraph(outcome)
    assert outcome.err == "Error: It broke. Mend it.\n"


def test_debug_adds_the_traceback(command: Command) -> None:
    outcome = command("--debug", job=fails_with(ImageError("It broke.")))
    assert outcome.status == 2
    assert "Traceback (most recent call last)" in outcome.err
    assert outcome.err.endswith("Error: It broke.\n")


def test_an_unexpected_error_is_our_fault(command: Command) -> None:
    outcome = command(job=fails_with(ZeroDivisionError("division by zero")))
    assert outcome.status == 1
    assert "ZeroDivisionError: division by zero" in outcome.err
    assert "--debug" in outcome.err
    assert "Traceback" not in outcome.err
    assert "Traceback (most recent call last)" in command("--debug", job=fails_with(ZeroDivisionError())).err


def test_an_interruption_says_how_to_go_on(command: Command) -> None:
    outcome = command(job=fails_with(KeyboardInterrupt()))
    assert outcome.status == 1
    assert "same command goes on" in outcome.err
    assert "Traceback" not in outcome.err


def test_errors_that_ray_wraps_are_told_like_our_own(command: Command) -> None:
    from ray.exceptions import RayTaskError
    from ray.train import WorkerGroupError

    original = StorageError("It broke.", "Mend it.")
    task_error = RayTaskError("map", "Traceback ...\nStorageError: It broke.", original).as_instanceof_cause()
    lost = RuntimeError("connection closed by peer")
    for error in (
        task_error,
        WorkerGroupError("Traceback ...", {0: lost, 1: task_error}),
        WorkerGroupError("", {0: original}),
    ):
        outcome = command(job=fails_with(error))
        assert outcome.status == 2
        assert outcome.err == "Error: It broke. Mend it.\n"
    assert command(job=fails_with(WorkerGroupError("", {0: lost}))).status == 1


@pytest.mark.usefixtures("ray_cluster")
def test_a_worker_that_cannot_import_the_package_is_told_with_the_remedy(command: Command, tmp_path: Path) -> None:
    """A real worker, from which a start-up file of Python's hides the package."""
    import ray

    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nclass Hiding:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'pipelines':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hiding())\n"
    )

    def job(config: Demo) -> ExitCode:
        hidden = {"env_vars": {"PYTHONPATH": str(tmp_path)}}
        ray.get(ray.remote(runtime_env=hidden, max_retries=0)(find_preset).remote(KNOWN))
        return ExitCode.DONE

    outcome = command(job=job)
    assert outcome.status == 2
    assert_one_paragraph(outcome)
    assert "cannot import pipelines" in outcome.err
    assert "--working-dir" in outcome.err


@pytest.mark.parametrize("overrides", [["num_stepz=3"], ["num_steps=many"], ["num_steps"], ["=3"], ["num_steps.x=1"]])
def test_bad_keys_are_one_paragraph_and_status_two(command: Command, overrides: list[str]) -> None:
    outcome = command(*overrides, job=fails_with(AssertionError("the job must not run")))
    assert outcome.status == 2
    assert_one_paragraph(outcome)


def test_help_prints_usage_and_every_key_and_runs_nothing(command: Command) -> None:
    for arguments in (["--help"], ["-h"], ["num_steps=3", "--help", "--debug"]):
        outcome = command(*arguments, job=fails_with(AssertionError("the job must not run")))
        assert outcome.status == 0
        assert outcome.out.startswith("Does something.")
        assert "usage: python jobs/demo.py" in outcome.out
        for text in ("num_steps (int, default 3)", "Optimizer steps.", "uri (str, default runs)", "Where things go."):
            assert text in outcome.out
        assert outcome.err == ""


@pytest.mark.parametrize("option", ["--verbose", "-x", "--debug=1", "--num_steps=3"])
def test_unknown_options_are_refused(command: Command, option: str) -> None:
    outcome = command(option)
    assert outcome.status == 2
    assert_one_paragraph(outcome)
    assert f"'{option}'" in outcome.err


def test_two_presets_are_refused(command: Command) -> None:
    outcome = command(KNOWN, f"{KNOWN}.yaml")
    assert outcome.status == 2
    assert_one_paragraph(outcome)
    assert outcome.err.count("quickstart/slimdiffsr.yaml") == 2


def test_an_unknown_preset_lists_the_known_ones(command: Command) -> None:
    outcome = command("quickstart/slimdifsr")
    assert outcome.status == 2
    assert_one_paragraph(outcome)
    assert "'quickstart/slimdifsr'" in outcome.err
    assert "quickstart/slimdiffsr.yaml" in outcome.err


def test_something_that_is_no_preset_is_refused(command: Command, tmp_path: Path) -> None:
    picture = tmp_path / "photo.jpg"
    picture.write_bytes(b"\xff\xd8\xff")
    outcome = command(str(picture))
    assert outcome.status == 2
    assert_one_paragraph(outcome)
    assert command(str(tmp_path)).status == 2
    assert command("x" * 5000).status == 2


def test_presets_are_found_by_path_and_by_name(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("num_steps: 1")
    assert find_preset(str(own)) == own
    assert find_preset(KNOWN) == find_preset(f"{KNOWN}.yaml") == PRESETS / f"{KNOWN}.yaml"


def test_a_preset_whose_path_holds_an_equals_sign_is_a_preset(tmp_path: Path) -> None:
    own = tmp_path / "scale=4.yaml"
    own.write_text("num_steps: 1")
    assert parse([str(own), "a=b"]).preset == own
    assert parse([str(own), "a=b"]).overrides == ("a=b",)


def test_flags_may_stand_anywhere() -> None:
    invocation = parse(["--debug", "a=1", KNOWN, "--help", "b.c=x=y"])
    assert invocation.overrides == ("a=1", "b.c=x=y")
    assert invocation.debug
    assert invocation.help
    assert invocation.preset is not None


def run_slimdiffsr(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(JOB), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_main_job_explains_itself_and_starts_nothing(tmp_path: Path) -> None:
    ran = run_slimdiffsr("--help", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    for key in (
        "output.uri",
        "data.uri",
        "phases",
        "seed",
        "fresh",
        "ray.address",
        "mlflow.tracking_uri",
        "num_workers",
    ):
        assert f"  {key} (" in ran.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_main_job_refuses_a_bad_key_before_it_starts_anything(tmp_path: Path) -> None:
    ran = run_slimdiffsr("student.num_stepz=3", folder=tmp_path)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert "'student.num_stepz' is not a key (did you mean 'student.num_steps'?)" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []

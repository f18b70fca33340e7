import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.progress import Progress, configure_logging, print_closing

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still until it is moved on."""
    now_s = [1000.0]
    monkeypatch.setattr("pipelines.progress.time.monotonic", lambda: now_s[0])

    def move(seconds: float) -> None:
        now_s[0] += seconds

    return move


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    caplog.set_level("INFO", "pipelines.progress")
    return lambda: [record.getMessage() for record in caplog.records]


def on_terminal(script: str) -> str:
    """What a script shows on a pseudo-terminal of 100 columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    shown = b"".join(_read_until_end(leader))
    assert process.wait(30) == 0, shown
    os.close(leader)
    return shown.decode()


def _read_until_end(leader: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(leader, 4096)
        except OSError:  # the other side has closed
            return
        if not data:
            return
        yield data


def test_without_a_terminal_lines_come_every_ten_seconds_at_most(
    clock: Callable[[float], None], lines: Callable[[], list[str]]
) -> None:
    with Progress("phase student", total=1000) as progress:
        for done in range(301):
            progress.update(done, note="loss 0.5")
            clock(0.125)
    assert len(lines()) == 3
    assert lines()[1] == "phase student: 160 of 1000, 8/s, 105 s left, loss 0.5"


def test_short_work_says_nothing(clock: Callable[[float], None], lines: Callable[[], list[str]]) -> None:
    with Progress("reading images") as progress:
        for done in range(50):
            progress.update(done)
            clock(0.1)
    assert lines() == []


def test_work_of_unknown_size_counts(clock: Callable[[float], None], lines: Callable[[], list[str]]) -> None:
    with Progress("reading images") as progress:
        progress.update(0)
        clock(20)
        progress.update(40)
        clock(20)
        progress.update(80, total=120)
    assert lines() == ["reading images: 40, 2/s", "reading images: 80 of 120, 2/s, 20 s left"]


def test_resumed_work_estimates_from_what_it_did_itself(
    clock: Callable[[float], None], lines: Callable[[], list[str]]
) -> None:
    with Progress("phase student", total=1000) as progress:
        clock(5)  # starting up
        progress.update(501)
        clock(10)
        progress.update(511)
    assert lines()[-1] == "phase student: 511 of 1000, 1/s, 489 s left"


@pytest.mark.parametrize(
    ("left", "words"),
    [(599, "599 s"), (600, "10 min"), (3569, "59 min"), (3571, "1 h 0 min"), (200_000, "55 h 33 min")],
)
def test_long_times_are_told_in_minutes_and_hours(
    left: int, words: str, clock: Callable[[float], None], lines: Callable[[], list[str]]
) -> None:
    with Progress("phase student", total=left + 20) as progress:
        progress.update(0)
        clock(20)
        progress.update(20)
    assert lines() == [f"phase student: 20 of {left + 20}, 1/s, {words} left"]


def test_on_a_terminal_a_bar_is_drawn_and_log_lines_stay_whole() -> None:
    shown = on_terminal(
        """
import logging, time
from pipelines.progress import Progress, configure_logging
configure_logging(debug=False)
log = logging.getLogger("pipelines.test")
with Progress("phase [student]", total=40) as progress:
    for done in range(41):
        progress.update(done, note=f"[red] loss {done}")
        time.sleep(0.01)
        if done == 20:
            log.info("halfway [there]")
"""
    )
    assert "\x1b[" in shown, "a live bar moves the cursor"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"^phase \[student\] .* 40/40 .* \[red\] loss 40", plain, re.MULTILINE)
    assert re.search(r"INFO +halfway \[there\] *\r?$", plain, re.MULTILINE)


def test_on_a_terminal_parts_have_bars_of_their_own_while_they_last() -> None:
    shown = on_terminal(
        """
import time
from pipelines.progress import Progress
with Progress("windows", total=8) as progress:
    progress.update(2)
    progress.show_parts({"[scene] a": (1, 4), "b" * 60: (1, 4)})
    time.sleep(0.3)
    progress.update(8, note="last")
    progress.show_parts({"c": (4, 4)})
"""
    )
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"\[scene\] a .* 1/4", plain) and re.search(r"…b{31} .* 1/4", plain)
    last = plain[plain.rindex("windows") :]
    assert re.search(r"c .* 4/4", last) and "scene" not in last


def test_a_given_rate_takes_the_place_of_the_mean(
    clock: Callable[[float], None], lines: Callable[[], list[str]]
) -> None:
    with Progress("windows", total=100) as progress:
        progress.update(0)
        clock(20)
        progress.update(20, rate=4.0)
        progress.show_parts({"a": (1, 2)})
    assert lines() == ["windows: 20 of 100, 4/s, 20 s left"]


def test_without_a_terminal_nothing_is_drawn_and_log_lines_are_plain() -> None:
    script = """
import logging
from pipelines.progress import Progress, configure_logging
configure_logging(debug=False)
with Progress("phase student", total=2) as progress:
    progress.update(2)
logging.getLogger("pipelines.test").info("finished %d", 2)
logging.getLogger("other.library").info("chatter")
logging.getLogger("pipelines.test").debug("details")
"""
    environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == ""
    assert ran.stderr.endswith("INFO finished 2\n")
    assert ran.stderr.count("\n") == 1
    assert "\x1b" not in ran.stderr


def test_debug_adds_the_projects_details_only(capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    root = logging.getLogger()
    before = (
        root.handlers[:],
        root.level,
        {name: logging.getLogger(name).level for name in ("rssr", "pipelines", "jobs")},
    )
    try:
        configure_logging(debug=True)
        logging.getLogger("rssr.test").debug("inner workings")
        logging.getLogger("other.library").info("chatter")
    finally:
        for handler in root.handlers[:]:
            root.removeHandler(handler)
        for handler in before[0]:
            root.addHandler(handler)
        root.setLevel(before[1])
        for name, level in before[2].items():
            logging.getLogger(name).setLevel(level)
    shown = capsys.readouterr().err
    assert "inner workings" in shown
    assert "chatter" not in shown


def test_the_closing_words_name_every_place_and_command_unbroken(capsys: pytest.CaptureFixture[str]) -> None:
    long = "/data/" + "a-very-long-folder-name/" * 10 + "model"
    where = {"runs": "s3://bucket/[/x]/:smile:", "model": long, "report": "runs/[bold]report.html"}
    commands = [
        f"rssr sr YOUR_SCENE.tif OUT.tif --model {long} --scale 4",
        "mlflow ui --backend-store-uri sqlite:////a/b.db",
    ]
    print_closing(where, commands)
    shown = capsys.readouterr().out.splitlines()
    for name, place in where.items():
        assert any(line.split() == [name, place] for line in shown)
    for command in commands:
        assert any(line.strip() == command for line in shown)
    assert "\x1b" not in "".join(shown)


def test_the_closing_words_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    print_closing({"a": "PLACE-1", "longer name": "PLACE-2"}, [])
    shown = [line for line in capsys.readouterr().out.splitlines() if "PLACE" in line]
    assert len({line.index("PLACE") for line in shown}) == 1

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.serving.telemetry.config import TelemetryConfig
from pipelines.serving.telemetry.logs import JsonLines, TextLines, about, about_hop, configure_logs, fields_now

log = logging.getLogger("pipelines.serving.tests")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """The root logger and the project's, put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("rssr", "pipelines", "jobs")}
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    (path,) = folder.iterdir()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_record_is_one_line_of_json_with_what_it_is_about(tmp_path: Path) -> None:
    configure_logs(TelemetryConfig(log_folder=str(tmp_path / "logs")), "ingress")
    with about(request_id="r1", archive_id=""), about(model="ldcsr"):
        log.info("made %s", "town.tif", extra={"fields": {"seconds": 0.5}})
    log.warning("alone")
    first, second = lines_of(tmp_path / "logs")
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "info",
        "logger": "pipelines.serving.tests",
        "message": "made town.tif",
        "request_id": "r1",
        "model": "ldcsr",
        "seconds": 0.5,
    }
    assert second["message"] == "alone" and "request_id" not in second


def test_errors_bring_their_traceback_in_the_same_line(tmp_path: Path) -> None:
    configure_logs(TelemetryConfig(log_folder=str(tmp_path / "logs")), "ingress")
    try:
        raise ValueError("wrong\nindeed")
    except ValueError:
        log.exception("it broke")
    (line,) = lines_of(tmp_path / "logs")
    assert "Traceback" in line["error"] and "wrong\nindeed" in line["error"]


def test_nobody_can_forge_a_line() -> None:
    record = logging.LogRecord("pipelines", logging.INFO, "", 0, 'name\n{"level": "error"}\x1b[2J', (), None)
    for form in (JsonLines(), TextLines()):
        text = form.format(record)
        assert "\n" not in text and "\x1b" not in text


def test_names_that_are_no_text_can_be_logged() -> None:
    record = logging.LogRecord("pipelines", logging.INFO, "", 0, "\udcff.tif", (), None)
    for form in (JsonLines(), TextLines()):
        form.format(record).encode()


def test_text_is_for_people(tmp_path: Path) -> None:
    configure_logs(TelemetryConfig(log_folder=str(tmp_path / "logs"), log_format="text"), "ingress")
    with about(request_id="r1"):
        log.info("made it")
    (path,) = (tmp_path / "logs").iterdir()
    assert path.read_text().endswith("Z info made it request_id=r1\n")


def test_the_level_is_that_of_the_configuration(tmp_path: Path) -> None:
    configure_logs(TelemetryConfig(log_folder=str(tmp_path / "logs"), log_level="warning"), "ingress")
    log.info("too much")
    log.warning("needed")
    assert [line["message"] for line in lines_of(tmp_path / "logs")] == ["needed"]


def test_without_a_folder_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(TelemetryConfig(), "ingress")
    log.info("here")
    assert json.loads(capsys.readouterr().err)["message"] == "here"


def test_a_hop_names_the_trace_of_whoever_asked() -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with about_hop(parent, request_id="r1", model="bicubic") as hop:
        assert hop.parent_id == "00f067aa0ba902b7"
        assert dict(fields_now()) == {
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "span_id": hop.span_id,
            "request_id": "r1",
            "model": "bicubic",
        }
    assert not fields_now()


def test_threads_are_about_nothing_until_they_are_told() -> None:
    seen: list[dict[str, str]] = []

    def work(fields: dict[str, str]) -> None:
        seen.append(dict(fields_now()))
        with about(**fields):
            seen.append(dict(fields_now()))

    with about(request_id="r1"):
        thread = threading.Thread(target=work, args=(dict(fields_now()),))
        thread.start()
        thread.join()
    assert seen == [{}, {"request_id": "r1"}]

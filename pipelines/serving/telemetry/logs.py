"""Log lines that machines can read, with the request and archive they are about."""

import json
import logging
import logging.handlers
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipelines.serving.telemetry.config import TelemetryConfig
from pipelines.serving.telemetry.trace import TraceContext, continue_trace

_OLD_FILES = 3
_fields: ContextVar[Mapping[str, str]] = ContextVar("fields")


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Name what the work inside is about, on each of its log lines; tasks and threads of asyncio inherit it.

    Args:
        fields: `request_id`, `archive_id`, `model`, `trace_id`, `span_id`; added to those that are set, empty ones not.
    """
    token = _fields.set({**fields_now(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _fields.reset(token)


@contextmanager
def about_hop(traceparent: str, **fields: str) -> Iterator[TraceContext]:
    """The same for work that another process asked for.

    Args:
        traceparent: `TraceContext.header` of the hop that asked; empty begins a trace.
        fields: See `about`.

    Yields:
        This hop.
    """
    hop = continue_trace([traceparent] if traceparent else [])
    with about(trace_id=hop.trace_id, span_id=hop.span_id, **fields):
        yield hop


def fields_now() -> Mapping[str, str]:
    """What log lines are about at this moment, to be handed to threads that do not inherit it."""
    return _fields.get(MappingProxyType({}))


class JsonLines(logging.Formatter):
    """One JSON object a record.

    `time` (UTC), `level`, `logger`, `message`; what it is about; `error` with its traceback; and what a call gave as
    `extra={"fields": {...}}`. Line ends and other controls inside a message are escaped: no caller can forge a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        line: dict[str, Any] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_about(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """The same for people: time, level, message, then the rest as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        message = _escaped(record.getMessage())
        rest = " ".join(f"{name}={_escaped(str(value))}" for name, value in _about(record).items())
        line = f"{_utc(record.created)} {record.levelname.lower()} {message} {rest}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure_logs(config: TelemetryConfig, process: str) -> None:
    """Send this process's log lines where the configuration says; other libraries' only from warnings on.

    Args:
        config: Form, level and place.
        process: What kind of process it is, for the name of its file, e.g. `ingress`.
    """
    handler = _handler(config, process)
    handler.setFormatter(JsonLines() if config.log_format == "json" else TextLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("rssr", "pipelines", "jobs"):
        logging.getLogger(name).setLevel(config.log_level.upper())


def _handler(config: TelemetryConfig, process: str) -> logging.Handler:
    if config.log_folder is None:
        return logging.StreamHandler(sys.stderr)
    folder = Path(config.log_folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{process}-{os.getpid()}.log"
    return logging.handlers.RotatingFileHandler(
        path, maxBytes=config.log_file_bytes, backupCount=_OLD_FILES, encoding="utf-8"
    )


def _about(record: logging.LogRecord) -> dict[str, Any]:
    """Of a record: what is given with it stands above what the work is about."""
    return {**fields_now(), **getattr(record, "fields", {})}


def _utc(seconds: float) -> str:
    whole, part = divmod(seconds, 1)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int(part * 1000):03d}Z"


def _escaped(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)[1:-1]

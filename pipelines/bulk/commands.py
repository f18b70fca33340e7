"""What to type to go on with a run."""

import json
import shlex
from typing import Any

from pipelines.bulk.config import BulkConfig
from pipelines.tracking.secrecy import mask_secrets
from rssr.configuration import flatten
from rssr.plain_yaml import read_yaml

_FIRST = ("input", "output.uri", "model", "scale")
_OF_ONE_COMMAND = ("fresh", "retry_failed", "verify_only")  # the next one has its own


def command_line(config: BulkConfig, *changes: str) -> str:
    """The command that goes on with the run of a configuration.

    Args:
        config: Of the run; keys with default values are left out, and so is what should not be done again, as `fresh`.
        *changes: Further overrides, e.g. `retry_failed=true`.
    """
    values = flatten(config.model_dump(mode="json"))
    usual = flatten(BulkConfig(input=("",), output=config.output).model_dump(mode="json"))
    kept = [*_FIRST, *(key for key, value in values.items() if key not in _FIRST and value != usual.get(key, ...))]
    words = [f"{_short(key)}={_written(values[key])}" for key in kept if key not in _OF_ONE_COMMAND]
    return mask_secrets(shlex.join(["python", "jobs/bulk.py", *words, *changes]))


def _short(key: str) -> str:
    return "output" if key == "output.uri" else key


def _written(value: Any) -> str:  # noqa: ANN401  # whatever a configuration holds
    """A value as an override has it."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return _written(value[0])
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    try:
        is_plain = read_yaml(value) == value
    except ValueError:
        is_plain = False
    return value if is_plain else json.dumps(value, ensure_ascii=False)

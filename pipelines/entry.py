"""The command line of every job: a preset, overrides, help, and exit codes."""

import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.nodes import HOW_TO_SHARE_CODE
from pipelines.progress import configure_logging
from rssr.configuration import Config, ConfigT, describe, load_config
from rssr.errors import ConfigError, ExitCode, RssrError

PRESETS = Path(__file__).resolve().parent.parent / "jobs" / "presets"
_MISSING_CODE = re.compile(r"No module named '((?:rssr|pipelines|jobs)\b[\w.]*)'")


@dataclass(frozen=True)
class Invocation:
    """What was typed after a job's name.

    Attributes:
        preset: Preset file, or None for the job's default.
        overrides: Items `dotted.name=value`.
        debug: Whether to print tracebacks.
        help: Whether only the help was asked for.
    """

    preset: Path | None
    overrides: tuple[str, ...]
    debug: bool
    help: bool


def run_job(
    config_class: type[ConfigT], run: Callable[[ConfigT], ExitCode], default_preset: str, about: str
) -> ExitCode:
    """Parse the command line, run the job and turn errors into one paragraph and an exit status.

    Args:
        config_class: The job's configuration.
        run: The job.
        default_preset: Preset used when none is given, relative to `jobs/presets`.
        about: First lines of `--help`.
    """
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        invocation = parse(arguments)
        if invocation.help:
            print(help_text(config_class, default_preset, about))  # the job's answer, not a log line
            return ExitCode.DONE
        configure_logging(debug)
        preset = invocation.preset or find_preset(default_preset)
        return run(load_config(config_class, preset, invocation.overrides))
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from the last checkpoint.", file=sys.stderr)
        return ExitCode.OUR_FAULT
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _explain(error)


def parse(arguments: Sequence[str]) -> Invocation:
    """Sort arguments into preset, overrides and flags."""
    preset: Path | None = None
    overrides = []
    for argument in arguments:
        if argument in ("--debug", "--help", "-h"):
            continue
        if argument.startswith("-"):
            raise ConfigError(f"Unknown option '{argument}'.", "Use key=value, --help or --debug.")
        if "=" in argument and not _is_file(Path(argument)):
            overrides.append(argument)
        elif preset is None:
            preset = find_preset(argument)
        else:
            raise ConfigError(f"Two presets given: '{preset}' and '{argument}'.", "Give one; overrides are key=value.")
    asked = any(flag in arguments for flag in ("--help", "-h"))
    return Invocation(preset, tuple(overrides), "--debug" in arguments, asked)


def find_preset(name: str) -> Path:
    """A preset by path, or by its name below `jobs/presets`, with or without `.yaml`."""
    for candidate in (Path(name), PRESETS / name, PRESETS / f"{name}.yaml"):
        if _is_file(candidate):
            return candidate
    known = sorted(path.relative_to(PRESETS).as_posix() for path in PRESETS.rglob("*.yaml"))
    raise ConfigError(f"There is no preset '{name}'.", f"Give a path or one of: {', '.join(known)}.")


def help_text(config_class: type[Config], default_preset: str, about: str) -> str:
    """Usage and every key with its type, default and meaning."""
    usage = (
        f"{about}\n\nusage: python {Path(sys.argv[0]).as_posix()} [PRESET] [key.sub=value ...] [--debug]\n\n"
        f"PRESET is a file, or a name under jobs/presets (default: {default_preset}).\n\nKeys:\n"
    )
    return usage + describe(config_class)


def _explain(error: Exception) -> ExitCode:
    intended = _raised_on_purpose(error) or _code_missing_elsewhere(error)
    if intended is not None:
        print(f"Error: {intended}", file=sys.stderr)
        return intended.exit_code
    print(f"Unexpected {type(error).__name__}: {error}\nRun again with --debug for details.", file=sys.stderr)
    return ExitCode.OUR_FAULT


def _raised_on_purpose(error: BaseException) -> RssrError | None:
    """The project's own error, also inside those that Ray wraps around what a task or training worker raised."""
    for inner in (getattr(error, "cause", None), *getattr(error, "worker_failures", {}).values()):
        intended = _raised_on_purpose(inner) if isinstance(inner, BaseException) else None
        if intended is not None:
            return intended
    return error if isinstance(error, RssrError) else None


def _code_missing_elsewhere(error: Exception) -> RssrError | None:
    """A worker that cannot import what this process can, e.g. on a node that joined after the job had begun."""
    missing = _MISSING_CODE.search(str(error))
    if missing is None:
        return None
    return ConfigError(f"A worker of the cluster cannot import {missing[1]}.", HOW_TO_SHARE_CODE)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # e.g. longer than any name can be
        return False

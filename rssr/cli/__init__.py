"""The `rssr` command. One small module a subcommand; each has `NAME`, `HELP`, `add_arguments` and `run`."""

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Protocol

from rssr.cli import doctor, export, key, models, sr, weights
from rssr.errors import RssrError


class Command(Protocol):
    """What a subcommand's module offers."""

    NAME: str
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; returns the exit status."""
        ...


COMMANDS: tuple[Command, ...] = (sr, models, weights, export, key, doctor)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments after the program's name; by default the process's own.

    Returns:
        Exit status: 0 done, 2 bad input, 1 our fault (see `rssr.errors.ExitCode`).
    """
    arguments = _build_parser().parse_args(argv)
    logging.basicConfig(level=logging.DEBUG if arguments.debug else logging.WARNING, format="rssr: %(message)s")
    logging.getLogger("rasterio").setLevel(logging.DEBUG if arguments.debug else logging.ERROR)
    try:
        status: int = arguments.run(arguments)
        return status
    except RssrError as error:
        if arguments.debug:
            raise
        sys.stderr.write(f"rssr: {error}\n")
        return int(error.exit_code)
    except KeyboardInterrupt:
        if arguments.debug:
            raise
        return 130  # as the shell counts it: 128 + SIGINT


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rssr", description="Super-resolution of remote-sensing images.")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.NAME, help=command.HELP, description=command.HELP)
        subparser.add_argument("--debug", action="store_true", help="show tracebacks and all log lines")
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser

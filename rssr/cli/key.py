"""`rssr key`: make a key for the service, of which only a digest is kept."""

import argparse
import sys

NAME = "key"
HELP = "Make a key for the service (jobs/serve.py). It is shown once; the service knows its digest only."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="whose key it is: archives and quotas go by this name")


def run(arguments: argparse.Namespace) -> int:
    """Print the key, and the line that makes the service take it."""
    from rssr.errors import ConfigError
    from rssr.service_keys import is_key_name, key_line, new_key

    if not is_key_name(arguments.name):
        raise ConfigError(
            f"A key cannot be called {arguments.name[:80]!r}.",
            "Use 1 to 64 letters, digits, dots, underscores and hyphens.",
        )
    key = new_key()
    sys.stdout.write(
        f"key, for the caller; it is not shown again:\n  {key}\n"
        f"line for the service's keys file (security.keys_file=...), or for RSSR_API_KEYS:\n"
        f"  {key_line(arguments.name, key)}\n"
    )
    return 0

"""Makes the secrets of compose.yaml, once: python cluster/compose/make_env.py."""

import secrets
import sys
from pathlib import Path

from rssr.service_keys import key_line, new_key

FOLDER = Path(__file__).resolve().parent
_NUM_BYTES = 24


def filled(template: str) -> str:
    """The template with fresh values for the names that have none.

    Args:
        template: Lines `NAME=` or `NAME=value`, and comments.
    """
    key = new_key()
    known = {"RSSR_METRICS_KEY": key, "RSSR_API_KEYS": key_line("prometheus", key)}
    lines = []
    for line in template.splitlines():
        name, separator, value = line.partition("=")
        is_open = bool(separator) and not value and not line.startswith("#")
        lines.append(f"{name}={known.get(name) or secrets.token_hex(_NUM_BYTES)}" if is_open else line)
    return "\n".join(lines) + "\n"


def write_env(folder: Path = FOLDER) -> Path:
    """Write `.env`, for its owner's eyes alone.

    Args:
        folder: Where `env.example` lies.

    Raises:
        FileExistsError: There is one: its passwords are those of databases that exist.
    """
    target = folder / ".env"
    text = filled((folder / "env.example").read_text(encoding="utf-8"))
    target.touch(mode=0o600, exist_ok=False)
    target.write_text(text, encoding="utf-8")
    return target


def main() -> int:
    """Write the file; returns the exit status."""
    try:
        print(f"{write_env()} holds the secrets of this machine's services.")
    except FileExistsError as error:
        print(f"{error.filename} exists, and is left as it is: services have its passwords already.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Keys: who may ask, told by digests in a file or the environment."""

import hmac
import ipaddress
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

from pipelines.serving.caller import Caller
from pipelines.serving.problems import Problem
from pipelines.serving.security.config import SecurityConfig
from rssr.errors import ConfigError
from rssr.service_keys import is_key, is_key_name, key_digest

KEYS_VARIABLE = "RSSR_API_KEYS"
"""Environment variable with lines as in a keys file, separated by commas or line ends."""

log = logging.getLogger(__name__)

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_FILE_BYTES = 4 * 2**20
_LONGEST_HEADER = 512  # characters
_WRITTEN_AS = "Write NAME:SHA256 as `rssr key NAME` prints it; # begins a comment."


class Keys:
    """Tells whose key it is. Travels between processes.

    Args:
        file: Keys file, looked at again when it has changed; None for none.
        lines: Further keys, see `KEYS_VARIABLE`.

    Raises:
        ConfigError: The file cannot be read, or a line is none; names the line, never what it holds.
    """

    def __init__(self, file: Path | None = None, lines: str = "") -> None:
        self._file = file
        self._given = parse_keys(lines.replace(",", "\n"), KEYS_VARIABLE)
        self._seen = _state_of(file)
        self._held = parse_keys(_read(file), str(file)) if file is not None else {}

    @property
    def are_needed(self) -> bool:
        """Whether callers must send one: there is a file or at least one key."""
        return self._file is not None or bool(self._given)

    def caller(self, authorization: str | None) -> Caller:
        """Who sends this header.

        Args:
            authorization: The header; None where there is none.

        Raises:
            Problem: There is no key in it, or not one of ours.
        """
        if not self.are_needed:
            return Caller()
        scheme, _, key = (authorization or "")[:_LONGEST_HEADER].strip().partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise unauthorized("The request carries no key.")
        name = self._name_of(key_digest(key)) if is_key(key) else None
        if name is None:
            raise unauthorized("The key is not one of this service.")
        return Caller(name)

    def _name_of(self, digest: str) -> str | None:
        """Compares with every key, each in constant time: how long it takes tells nothing."""
        self._look_again()
        found = None
        for known, name in [*self._given.items(), *self._held.items()]:
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def _look_again(self) -> None:
        """Take over a changed file; where it cannot be used, the keys known so far stay, and the log says why."""
        state = _state_of(self._file)
        if self._file is None or state == self._seen:
            return
        self._seen = state
        try:
            self._held = parse_keys(_read(self._file), str(self._file))
        except ConfigError as error:
            log.error("%s The keys read before stay in force.", error)
        else:
            log.info("The keys file has changed: %d keys", len(self._held))


def load_keys(config: SecurityConfig, host: str, environment: Mapping[str, str] | None = None) -> Keys:
    """The keys of a service that listens at an address.

    Args:
        config: Names the file.
        host: Address it listens at.
        environment: By default the process's own.

    Raises:
        ConfigError: A line is no key; or there are none, though others than this machine can reach the service.
    """
    source = os.environ if environment is None else environment
    keys = Keys(Path(config.keys_file) if config.keys_file else None, source.get(KEYS_VARIABLE, ""))
    if not keys.are_needed and not is_loopback(host):
        raise ConfigError(
            f"The service would listen at {host} without keys: anybody could use it.",
            f"Make a key with `rssr key NAME` and set security.keys_file or {KEYS_VARIABLE}; or bind to 127.0.0.1.",
        )
    return keys


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at an address."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def parse_keys(text: str, source: str) -> dict[str, str]:
    """Names by digest.

    Args:
        text: A key a line: `NAME:SHA256`; empty lines and comments (#) do not count. A name may have several keys.
        source: Names the text in errors.

    Raises:
        ConfigError: Names the line, never what it holds: it may be a key itself.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        name, _, digest = (part.strip() for part in entry.partition(":"))
        digest = digest.lower()
        if not is_key_name(name) or not _DIGEST.fullmatch(digest):
            raise ConfigError(f"Line {number} of {source} is no key.", _WRITTEN_AS)
        if found.setdefault(digest, name) != name:
            raise ConfigError(
                f"Line {number} of {source} gives another name to a key above.", "Give each name its own."
            )
    return found


def unauthorized(detail: str) -> Problem:
    """The answer to who may not ask."""
    return Problem("unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="rssr"'})


def _read(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            text = stream.read(_MAX_FILE_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"The keys file {file} cannot be read: {why}.", "Check security.keys_file.") from None
    if len(text) > _MAX_FILE_BYTES:
        raise ConfigError(f"The keys file {file} is too long.", "Keep it below 4 MB.")
    return text


def _state_of(file: Path | None) -> tuple[int, int, int] | None:
    """Changes when the file does; None where there is none."""
    try:
        found = file.stat() if file is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found is not None else None

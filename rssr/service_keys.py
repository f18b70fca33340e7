"""Keys of the service: how they are made, what they look like, and what is kept of them."""

import hashlib
import re
import secrets

PREFIX = "rssr_"
"""How all keys begin, so that one that lies around is recognised."""

_NUM_BYTES = 32
_KEY = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{20,128}}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def new_key() -> str:
    """A fresh key: the prefix and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_NUM_BYTES)


def is_key(text: str) -> bool:
    """Whether this looks like a key that `new_key` makes: short ones of people's own making are none."""
    return _KEY.fullmatch(text) is not None


def is_key_name(text: str) -> bool:
    """Whether a key may be called that: 1 to 64 letters, digits, dots, underscores and hyphens."""
    return _NAME.fullmatch(text) is not None


def key_digest(key: str) -> str:
    """What is kept of a key: its SHA-256, hexadecimal. Keys are random, so nobody finds one from its digest."""
    return hashlib.sha256(key.encode()).hexdigest()


def key_line(name: str, key: str) -> str:
    """The line of a keys file for a key, see `SecurityConfig.keys_file` of the service."""
    return f"{name}:{key_digest(key)}"

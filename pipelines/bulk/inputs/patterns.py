"""Patterns of keys: `*` and `?` within a folder, `**` over any depth."""

import re
from collections.abc import Callable
from pathlib import Path

from pipelines.storage.uris import is_local, local_path
from rssr.errors import ConfigError

_WILD = re.compile(r"[*?]")
_WEB = ("http://", "https://")
_TOKENS = re.compile(r"\*\*/|/\*\*$|\*\*|\*|\?")
_MEANINGS = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def is_pattern(uri: str) -> bool:
    """Whether an input names many keys; an existing local file of such a name is itself."""
    if _WILD.search(uri) is None or uri.lower().startswith(_WEB):
        return False
    path = local_path(uri) if is_local(uri) else None
    return path is None or not path.exists()


def split_pattern(uri: str) -> tuple[str, str]:
    """The folder or prefix that a pattern cannot leave, and the pattern below it.

    Raises:
        ConfigError: The bucket is not fixed.
    """
    parts = uri.split("/")
    first = next(number for number, part in enumerate(parts) if _WILD.search(part))
    fixed, pattern = "/".join(parts[:first]), "/".join(parts[first:])
    if "://" in uri and first < 3:
        raise ConfigError(f"The pattern {uri} leaves the bucket open.", "Name the bucket: s3://bucket/**/*.tif.")
    return (fixed or ("/" if uri.startswith("/") else str(Path.cwd()))), pattern


def matcher(pattern: str) -> Callable[[str], bool]:
    """Tells which keys below the fixed part a pattern means."""
    parts, end = [], 0
    for token in _TOKENS.finditer(pattern):
        parts += [re.escape(pattern[end : token.start()]), _MEANINGS[token[0]]]
        end = token.end()
    compiled = re.compile("".join([*parts, re.escape(pattern[end:])]), re.DOTALL)
    return lambda key: compiled.fullmatch(key) is not None

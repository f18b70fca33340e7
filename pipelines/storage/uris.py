"""Where things lie: local paths and URIs, parsed once and safe to print."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rssr.errors import StorageError

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")  # two characters at least: `C:` is no scheme
_USERINFO = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY = re.compile(r"\?.*$", re.DOTALL)  # signed URLs carry their signature here


@dataclass(frozen=True)
class Location:
    """A parsed URI.

    Args:
        scheme: `file` for local paths, else as written, in lower case.
        bucket: Bucket or host; empty for local paths.
        path: Absolute local path, or the key below the bucket without slashes at its ends.
    """

    scheme: str
    bucket: str
    path: str

    @property
    def uri(self) -> str:
        """The URI this location came from, normalised; local paths stay plain paths."""
        if self.scheme == "file":
            return self.path
        return f"{self.scheme}://{self.bucket}/{self.path}".rstrip("/")


def parse_uri(uri: str) -> Location:
    """Split a local path, `file://`, `s3://bucket/key` or other URI.

    Raises:
        StorageError: Empty, without a bucket, or carrying credentials.
    """
    match = _SCHEME.match(uri)
    if not uri.strip():
        raise StorageError("An empty string was given where a path or URI is needed.", "Write a path or s3://...")
    if match is None:
        return Location("file", "", str(Path(uri).expanduser().absolute()))
    scheme = match.group(1).lower()
    parts = urlsplit(uri)
    if "@" in parts.netloc:
        raise StorageError(
            f"The URI {redact(uri)} carries credentials.",
            "Remove them and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment instead.",
        )
    if scheme == "file":
        return Location("file", "", str(Path(unquote(parts.path)).absolute()))
    rest = uri[match.end() :]
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise StorageError(f"The URI '{uri}' names no bucket.", f"Write it as {scheme}://bucket/folder.")
    return Location(scheme, bucket, key.strip("/"))


def is_local(uri: str) -> bool:
    """Whether the URI names a place on this machine's file system."""
    return parse_uri(uri).scheme == "file"


def local_path(uri: str) -> Path | None:
    """The local path a URI names, or None for a remote one."""
    location = parse_uri(uri)
    return Path(location.path) if location.scheme == "file" else None


def join_uri(uri: str, *keys: str) -> str:
    """Append keys to a path or URI with single slashes."""
    joined = uri.rstrip("/") or "/"
    for key in keys:
        joined = f"{joined.rstrip('/')}/{key.strip('/')}"
    return joined


def redact(text: str) -> str:
    """The text without user names, passwords and query strings in its URIs: safe for errors and logs."""
    return _QUERY.sub("?...", _USERINFO.sub("...@", text))

"""Places that may be read or written when somebody else names them: prefixes, compared part by part."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pipelines.storage.uris import parse_uri, redact
from rssr.errors import StorageError

WEB_SCHEMES = ("http", "https")
"""Schemes of web servers."""

_LONGEST = 4096  # characters
_ALIASES = {"s3a": "s3"}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")
_WHOLE = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]+://")
_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
_DISGUISED = re.compile(r"%(?:2e|2f|5c|25|[01][0-9a-f]|7f)", re.IGNORECASE)  # dots, slashes, percent signs, controls
_MEMBER = re.compile(r"(.+?\.(?:zip|tar|tar\.gz|tgz))!.*", re.IGNORECASE | re.DOTALL)

_TRANSLATED = IPv6Network("64:ff9b::/96")  # IPv4 addresses behind a translator

Address = IPv4Address | IPv6Address


class PlaceRefused(StorageError):
    """A place is named that may not be used."""


@dataclass(frozen=True)
class _Place:
    """A place, taken apart: equal for all ways to write it.

    Attributes:
        scheme: `file` for local paths.
        host: Server with its port, unless that is the scheme's own; or bucket; empty for local paths.
        parts: Names on the way; of local paths, links are followed.
    """

    scheme: str
    host: str
    parts: tuple[str, ...]

    def holds(self, other: "_Place") -> bool:
        """Whether another is this one or lies below."""
        return (self.scheme, self.host) == (other.scheme, other.host) and self.parts == other.parts[: len(self.parts)]


@dataclass(frozen=True)
class AllowedPlaces:
    """Prefixes below which everything must lie that somebody else names. Safe to pickle.

    Attributes:
        prefixes: Folders, buckets with or without a prefix, and addresses on the web.
        inner_hosts: Names of web servers that may lie in the own network.

    Raises:
        StorageError: A prefix cannot be one.
    """

    prefixes: tuple[str, ...]
    inner_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for prefix in self.prefixes:
            _parsed(prefix)

    def require(self, uri: str) -> None:
        """Make sure that a place may be used.

        Args:
            uri: Whole, of whatever `open_store` takes: also an archive's member, or a pattern.

        Raises:
            PlaceRefused: It may not, or is written in a way that is not taken from others.
        """
        if not self.allows(uri):
            raise refused(uri)

    def allows(self, uri: str) -> bool:
        """Whether a place lies below one of the prefixes.

        Raises:
            PlaceRefused: It is written in a way that is not taken from others.
        """
        place = _parsed(uri)
        return any(_parsed(prefix).holds(place) for prefix in self.prefixes)

    def require_address(self, host: str, addresses: Iterable[str]) -> None:
        """Make sure that a server's name does not lead into the own network.

        Args:
            host: Its name.
            addresses: That the name stands for, each an IP address.

        Raises:
            PlaceRefused: It does, and nobody has said that it may.
        """
        name = host.lower()
        if name == "localhost" or name in map(str.lower, self.inner_hosts):
            return
        if not all(_is_public(ip_address(text.partition("%")[0])) for text in addresses):
            raise PlaceRefused(
                f"The name {name} leads into the service's own network.",
                "The operator can name such hosts (security.inner_hosts).",
            )


def refused(uri: str) -> PlaceRefused:
    """The error for a place that may not be used."""
    return PlaceRefused(f"{_shown(uri)} lies in no place that may be used.", "The operator lists the places there are.")


def _parsed(uri: str) -> _Place:
    """Take a place apart.

    Raises:
        PlaceRefused: It is relative, climbs, hides something, or carries credentials.
    """
    if len(uri) > _LONGEST or _CONTROL.search(uri) or not _WHOLE.match(uri):
        raise PlaceRefused(f"{_shown(uri)} is no whole path or URI.", "Write it out, e.g. s3://bucket/folder.")
    if "\\" in uri or "::" in uri:
        raise PlaceRefused(f"{_shown(uri)} holds a backslash or a double colon.", "Write plain paths or URIs.")
    try:
        location = parse_uri(uri)
    except (StorageError, ValueError) as error:
        why = error.problem if isinstance(error, StorageError) else f"{_shown(uri)} is no URI."
        raise PlaceRefused(why, "Write plain paths or URIs.") from None
    scheme = _ALIASES.get(location.scheme, location.scheme)
    _require_plain(uri)
    path, member = location.path, _MEMBER.fullmatch(location.path)
    if member and not (scheme == "file" and Path(path).is_dir()):
        path = member[1]  # an archive stands for what is in it
    if scheme == "file":
        return _Place(scheme, "", _resolved(path, uri))
    parts = tuple(part for part in path.split("/") if part)
    if scheme in WEB_SCHEMES:
        return _Place(scheme, _web_host(scheme, uri), parts)
    return _Place(scheme, location.bucket, parts)


def _require_plain(uri: str) -> None:
    """Refuse what different readers may understand differently."""
    scheme, separator, rest = uri.partition("://")
    rest = rest if separator else uri
    has_query = separator and scheme.lower() in (*WEB_SCHEMES, "file") and set("?#") & set(rest)
    if has_query or (separator and _DISGUISED.search(rest)):
        raise PlaceRefused(f"{_shown(uri)} holds encoded dots or slashes, or a query.", "Write plain paths or URIs.")
    parts = rest.rstrip("/").split("/")[1:]
    if any(part in ("", ".", "..") for part in parts):
        raise PlaceRefused(f"{_shown(uri)} has a part that is empty, '.' or '..'.", "Write the whole way to it.")


def _resolved(path: str, uri: str) -> tuple[str, ...]:
    try:
        return Path(path).resolve().parts
    except (OSError, RuntimeError, ValueError):  # links in a circle, names that are too long
        raise PlaceRefused(f"{_shown(uri)} cannot be found.", "Write the whole way to it.") from None


def _web_host(scheme: str, uri: str) -> str:
    try:
        parts = urlsplit(uri)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        host, port = "", None
    named = f"[{host}]" if ":" in host else host
    if not _HOST.fullmatch(named):
        raise PlaceRefused(f"{_shown(uri)} names no host.", "Write it as https://host/folder.")
    return named if port in (None, _DEFAULT_PORTS[scheme]) else f"{named}:{port}"


def _is_public(address: Address) -> bool:
    """Whether an address lies outside every own network, whatever it is wrapped into."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is not None:
            return _is_public(inner)
        if address in _TRANSLATED:
            return _is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast


def _shown(uri: str) -> str:
    text = redact(uri[:200])
    return text if text.isprintable() and text else ascii(text)

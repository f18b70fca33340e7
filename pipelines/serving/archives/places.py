"""Which places meet: the service's own is not for callers, and two archives do not write into one another's."""

from pathlib import Path
from urllib.parse import unquote

from pipelines.serving.problems import Problem
from pipelines.storage.archive import split_archive_uri
from pipelines.storage.uris import parse_uri
from rssr.errors import StorageError

_SAME_SCHEMES = {"s3a": "s3"}


def require_apart(uri: str, root_uri: str) -> None:
    """Refuse an input or output that lies in the service's own place, or around it.

    Args:
        uri: As the caller gave it; patterns are taken by their folder.
        root_uri: The service's own place.

    Raises:
        Problem: It does, or is no URI.
    """
    within = split_archive_uri(uri)
    if _meet(_parts(_fixed(within[0] if within else uri)), _parts(root_uri)):
        raise Problem(
            "forbidden-place",
            "This place is, or holds, the one that the service keeps its own files in.",
            "Name another one.",
        )


def overlap(first: str, second: str) -> bool:
    """Whether one output is the other, or lies in it. Of what is no address, only the same is the same."""
    try:
        return _meet(_parts(first), _parts(second))
    except Problem:
        return first == second


def _meet(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    shorter = min(len(first), len(second))
    return first[:shorter] == second[:shorter]


def _fixed(uri: str) -> str:
    """What comes before the first sign of a pattern."""
    start = min((place for sign in "*?[" if (place := uri.find(sign)) >= 0), default=-1)
    return uri if start < 0 else uri[:start].rpartition("/")[0] or uri[:start]


def _parts(uri: str) -> tuple[str, ...]:
    try:
        location = parse_uri(uri)
    except StorageError as error:
        raise Problem("invalid-request", error.problem, error.remedy) from None
    if location.scheme == "file":
        return Path(unquote(location.path)).resolve().parts
    scheme = _SAME_SCHEMES.get(location.scheme, location.scheme)
    return (f"{scheme}://{location.bucket.lower()}", *filter(None, location.path.split("/")))

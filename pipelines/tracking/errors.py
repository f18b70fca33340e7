"""Failures of tracking, and which of them time can heal."""

from pipelines.storage import redact
from rssr.errors import UserError

# Codes with which MLflow refuses a request for good. Everything else (no connection, 5xx, a locked SQLite
# file, an expired token that someone renews) may go away.
_PERMANENT_CODES = frozenset(
    {
        "INVALID_PARAMETER_VALUE",
        "BAD_REQUEST",
        "INVALID_STATE",
        "RESOURCE_DOES_NOT_EXIST",
        "RESOURCE_ALREADY_EXISTS",
    }
)


class TrackingError(UserError):
    """The MLflow store cannot be reached, or does not hold what was asked for."""


def is_permanent(error: Exception) -> bool:
    """Whether asking MLflow again cannot help."""
    # The client checks some arguments itself. Subclasses are left out: broken JSON of a server in distress is one.
    return getattr(error, "error_code", None) in _PERMANENT_CODES or type(error) in (ValueError, TypeError)


def is_missing(error: Exception) -> bool:
    """Whether MLflow answered that the thing does not exist."""
    return getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST"


def first_line(error: Exception) -> str:
    """What went wrong in one short line, for logs."""
    lines = str(error).strip().splitlines()
    return redact(f"{type(error).__name__}: {lines[0] if lines else ''}"[:300])

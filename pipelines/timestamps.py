"""Moments as everything that is written down has them: RFC 3339, UTC, whole seconds."""

from datetime import UTC, datetime


def timestamp(moment: datetime | None = None) -> str:
    """A moment as text, e.g. `2026-11-29T04:25:00Z`; one without a zone is taken for UTC.

    Args:
        moment: None is now.
    """
    known = datetime.now(UTC) if moment is None else moment
    return f"{known.astimezone(UTC) if known.tzinfo else known:%Y-%m-%dT%H:%M:%SZ}"

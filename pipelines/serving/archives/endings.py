"""From what came of an archive's process to how the archive stands."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.serving.archives.order import Outcome
from pipelines.serving.archives.records import ArchiveState
from rssr.errors import ExitCode

_SLUGS = {
    "ModelError": "model-mismatch",
    "WeightsError": "model-mismatch",
    "LeaseHeld": "conflict",
    "LeaseLost": "conflict",
    "StoreUnavailable": "busy",
}
_OURS = "The operator finds more in the log by the archive's id. What was finished stays."

NOT_BEGUN: Mapping[str, str] = {
    "slug": "internal",
    "detail": "The archive could not be begun as it is written down.",
    "remedy": _OURS,
}
"""Why an archive fails whose request is of another version of the service."""


@dataclass(frozen=True)
class Ending:
    """What is next for an archive whose process has ended.

    Attributes:
        state: How it ends; None where it is to be tried again.
        problem: Slug, detail and remedy of why it failed; None where it did not.
    """

    state: ArchiveState | None
    problem: Mapping[str, str] | None = None


def ending_of(outcome: Outcome | None, death: str, is_cancelled: bool, attempts_left: int) -> Ending:
    """What is next.

    Args:
        outcome: What the process told; None where it died before.
        death: How it ended, for people.
        is_cancelled: Whether its caller wants it to end.
        attempts_left: How often it may still be tried.
    """
    if outcome is not None and outcome.status == ExitCode.DONE:
        return Ending("completed")
    if outcome is not None and outcome.status == ExitCode.COMPLETED_WITH_FAILURES:
        return Ending("completed_with_failures")
    if is_cancelled:
        return Ending("cancelled")
    if (outcome is None or outcome.passes) and attempts_left > 0:
        return Ending(None)
    return Ending("failed", _why(outcome, death))


def _why(outcome: Outcome | None, death: str) -> dict[str, str]:
    if outcome is None:
        detail = f"The process of this archive {death}, as it had before."
        return {"slug": "internal", "detail": detail, "remedy": _OURS}
    if not outcome.problem:
        detail = f"The archive could not be finished: unexpected {outcome.kind}."
        return {"slug": "internal", "detail": detail, "remedy": _OURS}
    slug = _SLUGS.get(outcome.kind, "invalid-request" if outcome.status == ExitCode.BAD_INPUT else "internal")
    return {"slug": slug, "detail": outcome.problem, "remedy": outcome.remedy}

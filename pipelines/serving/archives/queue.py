"""Who is next: callers take turns, and nobody takes all places."""

from collections import Counter
from collections.abc import Collection, Sequence

from pipelines.serving.archives.config import ArchivesConfig
from pipelines.serving.archives.places import overlap
from pipelines.serving.archives.records import ArchiveRecord
from pipelines.serving.problems import Problem

_RETRY_S = (5, 600)  # bounds of what callers are told
_USUAL_WAIT_S = 30.0


def in_turn(records: Sequence[ArchiveRecord]) -> list[ArchiveRecord]:
    """Those that are queued, in the order in which they will be begun as things are now.

    Every caller's first comes before anybody's second, counting what runs; of equals the older comes first.

    Args:
        records: All archives that have not ended, the oldest first.
    """
    num_before = Counter(record.caller for record in records if record.state in ("running", "cancelling"))
    ranks = {}
    for record in records:
        if record.state == "queued":
            ranks[record.id] = num_before[record.caller]
            num_before[record.caller] += 1
    queued = (record for record in records if record.id in ranks)
    return sorted(queued, key=lambda record: (ranks[record.id], record.id))


def next_to_begin(
    records: Sequence[ArchiveRecord], at_work: Collection[str], resting: Collection[str], config: ArchivesConfig
) -> ArchiveRecord | None:
    """The archive to begin or go on with now; None where there is none or no room.

    Args:
        records: All archives that have not ended, the oldest first.
        at_work: Ids of those whose processes run.
        resting: Ids of those that wait before they are tried again.
        config: How many at a time.
    """
    if len(at_work) >= config.max_running:
        return None
    working = [record for record in records if record.id in at_work]
    num_of = Counter(record.caller for record in working)
    outputs = {record.request.output for record in working} - {None}
    interrupted = [record for record in records if record.state == "running" and record.id not in at_work]
    for record in [*interrupted, *in_turn(records)]:
        has_room = num_of[record.caller] < config.max_running_per_caller and record.id not in resting
        if has_room and not _is_written_to(record.request.output, outputs):
            return record
    return None


def _is_written_to(output: str | None, outputs: Collection[str | None]) -> bool:
    """Whether a run leads an output, or one in it or around it: their plans, windows and products would mix."""
    return output is not None and any(other is not None and overlap(output, other) for other in outputs)


def require_room(
    caller: str, records: Sequence[ArchiveRecord], config: ArchivesConfig, wait_s: float | None = None
) -> None:
    """Refuse one more archive where too many wait.

    Args:
        caller: Whose it would be.
        records: All archives that have not ended.
        config: How many may wait.
        wait_s: How long until one of them is expected to end, seconds; None where nobody knows.

    Raises:
        Problem: With when to come back.
    """
    queued = [record for record in records if record.state == "queued"]
    told_s = round(min(max(_USUAL_WAIT_S if wait_s is None else wait_s, _RETRY_S[0]), _RETRY_S[1]))
    headers = {"Retry-After": str(told_s)}
    if sum(record.caller == caller for record in queued) >= config.max_queued_per_caller:
        raise Problem(
            "too-many-archives",
            f"{config.max_queued_per_caller} of your archives are queued already.",
            f"Send it again in {told_s} s, or cancel one that is queued.",
            headers,
        )
    if len(queued) >= config.max_queued:
        raise Problem("busy", "Too many archives are queued.", f"Send it again in {told_s} s.", headers)

"""The result as plain text, for the end of the job."""

from pipelines.bulk.result import BulkResult, SceneResult, by_state, km2, mpx
from pipelines.progress import in_words, printable

_NUM_NAMED = 10  # scenes that are not as they should be; the report has all
_NUM_PROBLEMS = 5
_LONGEST_REASON = 160


def result_text(result: BulkResult) -> str:
    """What someone at a terminal wants to know: counts, amounts, what verification found, and the worst scenes."""
    parts = [_counts(result), _amounts(result), _verification(result), _worst(result)]
    return "\n".join(part for part in parts if part)


def _counts(result: BulkResult) -> str:
    told = [f"{count:,} {outcome}" for outcome, count in by_state(result).items() if count]
    total = len(result.scenes)
    return f"{total:,} scene{'s' * (total != 1)}: {', '.join(told) or 'none'}"


def _amounts(result: BulkResult) -> str:
    products = list(result.products)
    if not products:
        return ""
    told = [f"{mpx(products):,.1f} Mpx"]
    if ground := km2(products):
        told.append(f"{ground:,.4g} km2 of ground")
    words = f"{' of '.join(told)} in {len(products):,} product{'s' * (len(products) != 1)}"
    rates = result.rates
    if rates is None or result.seconds is None:
        return words
    now = len(result.made_now)
    made = "all" if now == len(products) else f"{now:,}"
    return (
        f"{words}; {made} of them now, in {in_words(result.seconds)}: {rates.mpx_per_s:.3g} Mpx/s, "
        f"{rates.scenes_per_hour:.3g} scenes an hour"
    )


def _verification(result: BulkResult) -> str:
    found = result.verification
    if found is None:
        return "Not verified."
    if not found:
        return "Verified: every scene has its product or a named reason, and all checksums match."
    lines = [f"Verification found {len(found):,} problem{'s' * (len(found) != 1)}:"]
    lines += [f"  {printable(problem)}" for problem in found[:_NUM_PROBLEMS]]
    return "\n".join([*lines, *(["  ..."] if len(found) > _NUM_PROBLEMS else [])])


def _worst(result: BulkResult) -> str:
    amiss = [scene for scene in result.worst_first if scene.outcome not in ("done", "waiting")]
    if not amiss:
        return ""
    lines = ["Not as they should be:", *(_line(scene) for scene in amiss[:_NUM_NAMED])]
    left = len(amiss) - _NUM_NAMED
    return "\n".join([*lines, *([f"  and {left:,} more, see the report"] if left > 0 else [])])


def _line(scene: SceneResult) -> str:
    reason = " ".join(scene.reason.split())
    short = reason if len(reason) <= _LONGEST_REASON else f"{reason[: _LONGEST_REASON - 3]}..."
    return f"  {scene.outcome:<8} {printable(scene.name)}{f': {printable(short)}' if short else ''}"

"""The answer first: what came of the scenes, and whether it can be trusted."""

from collections.abc import Iterable, Iterator

from pipelines.bulk.products.product_facts import INTERPOLATION
from pipelines.bulk.result import BulkResult, Outcome, by_state, km2, mpx
from pipelines.progress import in_words
from pipelines.report import KeyFigure, Level, Part, checks, heading, key_figures, notice
from rssr.metrics.seams import SEAM_LIMIT

_WORDS: dict[Outcome, tuple[str, str]] = {
    "marked": ("shows its tiles and is kept aside", "show their tiles and are kept aside"),
    "partial": ("lacks windows", "lack windows"),
    "failed": ("failed", "failed"),
    "refused": ("cannot be run", "cannot be run"),
    "waiting": ("waits", "wait"),
}
_MOST_PROBLEMS = 20


def subtitle(result: BulkResult) -> str:
    """What was run on what, in a line."""
    parts = [
        counted(len(result.scenes), "scene"),
        f"{result.identity.model} at scale {result.config.scale:g}",
        f"planned {result.identity.planned_at[:10]}",
    ]
    return " · ".join(parts)


def lead(result: BulkResult) -> Iterable[Part]:
    """The head of the page."""
    yield notice(verdict(result), _level(result))
    yield key_figures(list(_figures(result)))
    yield heading("Can the products be used?")
    yield checks(list(_checks(result)))


def verdict(result: BulkResult) -> str:
    """What came of the scenes, in words."""
    counts, total = by_state(result), len(result.scenes)
    if total == 0:
        return "There was no scene to super-resolve."
    if counts["done"] == total:
        return "The scene is super-resolved." if total == 1 else f"All {total:,} scenes are super-resolved."
    amiss = [f"{counts[state]:,} {words[counts[state] > 1]}" for state, words in _WORDS.items() if counts[state]]
    return f"{counts['done']:,} of {counted(total, 'scene')} {_verb(counts['done'])} super-resolved; {_listed(amiss)}."


def _verb(number: int) -> str:
    return "is" if number == 1 else "are"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _level(result: BulkResult) -> Level:
    counts = by_state(result)
    if counts["done"] == len(result.scenes) and not result.verification:
        return "good"
    return "warning" if counts["done"] else "error"


def _figures(result: BulkResult) -> Iterator[KeyFigure]:
    counts, products = by_state(result), list(result.products)
    yield KeyFigure(f"{counts['done']:,} of {len(result.scenes):,}", "scenes done", _others(counts))
    ground = km2(products)
    note = f"{_amount(ground)} km² of ground with data" if ground else ""
    yield KeyFigure(f"{_amount(mpx(products))} Mpx", "products", note)
    if result.seconds is not None:
        note = f"worker time of all attempts: {in_words(result.worker_hours * 3600)}"
        yield KeyFigure(in_words(result.seconds), "time of this command", note)
    if (rates := result.rates) is not None:
        notes = ["this command", f"{_amount(rates.scenes_per_hour)} scenes an hour"]
        notes += [f"{_amount(rates.km2_per_s)} km² a second"] if rates.km2_per_s else []
        yield KeyFigure(_amount(rates.mpx_per_s), "Mpx a second", "; ".join(notes))


def _amount(value: float) -> str:
    """With the digits that count."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _others(counts: dict[Outcome, int]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in counts.items() if count and state != "done")


def _checks(result: BulkResult) -> Iterator[tuple[Level, str]]:
    yield from _verification(result)
    yield from _unfinished(result)
    yield _seams(result)
    unplaced = sum(scene.planned.crs is None and not scene.planned.refusal for scene in result.scenes)
    if unplaced:
        yield "info", f"{counted(unplaced, 'scene')} without a coordinate reference system: products have none either."
    splits = sum(record.num_splits for record in result.records.values())
    if splits:
        yield "info", f"Memory was short {counted(splits, 'time')}; batches or tiles were halved, results are the same."
    yield "info", _nature(result)


def _verification(result: BulkResult) -> Iterator[tuple[Level, str]]:
    found = result.verification
    if found is None:
        yield "warning", "Not verified: run the command with `verify_only=true`."
    elif not found:
        yield "good", "Verified: every scene has its product or a named reason, and all checksums match."
    else:
        yield from (("error", problem) for problem in found[:_MOST_PROBLEMS])
        if len(found) > _MOST_PROBLEMS:
            yield "error", f"Verification found {len(found) - _MOST_PROBLEMS:,} problems more."


def _unfinished(result: BulkResult) -> Iterator[tuple[Level, str]]:
    counts = by_state(result)
    failed, windows = counts["failed"] + counts["refused"], result.num_failed_windows
    if failed:
        yield "warning", f"{counted(failed, 'scene')} without a product; the reasons are told below."
    if windows:
        yield "warning", f"{counted(windows, 'window')} failed and {_verb(windows)} masked: there is no data there."
    if counts["waiting"]:
        yield "warning", f"{counted(counts['waiting'], 'scene')} not run yet: the same command goes on."
    if not failed and not windows and not counts["waiting"]:
        yield "good", "No scene and no window failed."


def _seams(result: BulkResult) -> tuple[Level, str]:
    scores = [scene.product.seam_score for scene in result.products if scene.product is not None]
    if not scores:
        return "info", "There is no product whose tiles could show."
    if max(scores) <= SEAM_LIMIT:
        return "good", f"Tiles do not show: the largest seam score is {max(scores):.3f}, of at most {SEAM_LIMIT:g}."
    above = sum(score > SEAM_LIMIT for score in scores)
    return "warning", (
        f"Tiles show in {counted(above, 'product')}, up to a seam score of {max(scores):.3f} where {SEAM_LIMIT:g} is "
        "the limit. They lie below `_marked/`. Wider halos or `tiling.color_match=local` help."
    )


def _nature(result: BulkResult) -> str:
    if result.identity.model == INTERPOLATION:
        return "Interpolated: products have more pixels than the scenes, and no more detail."
    return (
        "Generative, not measured: detail beyond the scenes' resolution is estimated. Do not measure what is smaller "
        "than a pixel of the scenes."
    )


def counted(number: int, noun: str) -> str:
    """E.g. `1 scene`, `1,200 scenes`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

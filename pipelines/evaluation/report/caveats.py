"""What is not in the numbers: metrics that could not be had, images that failed, images that methods learnt from."""

from collections import defaultdict
from collections.abc import Iterable

from pipelines.evaluation.findings import Findings, counted
from pipelines.evaluation.result import Failure
from pipelines.report import Column, Part, folded, heading, listing, notice, prose, table
from pipelines.report.table import Cell

_MOST_NAMED = 5  # in a row of the table; all of them are in the list below it


def caveats(found: Findings) -> Iterable[Part]:
    """Gaps, failures and split safety."""
    yield heading("Metrics that are missing")
    yield from _gaps(found)
    yield heading("Images that failed")
    yield from _failures(found)
    yield heading("Images that methods have learnt from")
    yield from _shared(found)


def _gaps(found: Findings) -> Iterable[Part]:
    if not found.result.gaps:
        yield prose("None: every metric that was asked for could be computed.")
        return
    yield prose("They are gaps in the tables; no number stands in for them. The rest was computed.")
    for name, gap in found.result.gaps.items():
        yield notice(
            f"{found.result.spec(name).title}: {gap.name}, {gap.place}. On a machine with a network run "
            f"`{gap.command}`; then set `{gap.setting}`. To do without, {gap.instead}.",
            "warning",
        )


def _failures(found: Findings) -> Iterable[Part]:
    failures = found.result.failures
    if not failures:
        yield prose("None: all images were measured with all methods.")
        return
    number = len({(failure.dataset, failure.key) for failure in failures})
    yield prose(
        f"{counted(number, 'image')} of {counted(len({failure.dataset for failure in failures}), 'dataset')}. No mean "
        "counts them for the method that they failed with, and comparisons leave them out for both."
    )
    groups: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for failure in failures:
        groups[failure.dataset, _scale(failure), failure.method or "all", failure.reason].append(failure.key)
    titles = ("Dataset", "Scale", "Method", "Reason", "Images", "Names")
    columns = [Column(title.lower(), title) for title in titles]
    rows: list[dict[str, Cell]] = [
        dict(zip((column.name for column in columns), (*group, len(keys), _first(keys)), strict=True))
        for group, keys in groups.items()
    ]
    yield table(columns, rows)
    if any(len(keys) > _MOST_NAMED for keys in groups.values()):
        lines = [f"{f.dataset}/{f.key}\tscale {_scale(f)}\t{f.method or 'all methods'}\t{f.reason}" for f in failures]
        yield listing("\n".join(lines), f"All {len(failures):,} failures")


def _scale(failure: Failure) -> str:
    return "all" if failure.scale is None else f"{failure.scale:g}"


def _first(keys: list[str]) -> str:
    rest = len(keys) - _MOST_NAMED
    return ", ".join(keys[:_MOST_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")


def _shared(found: Findings) -> Iterable[Part]:
    shared = found.result.shared
    if not shared:
        yield prose("None was found.")
    else:
        columns = [
            Column("image", "Image"),
            Column("method", "Learnt from by"),
            Column("other", "It equals or resembles"),
            Column("how", "How alike"),
        ]
        rows = [
            {
                "image": f"{own.dataset}/{own.key}",
                "method": own.method or "none; another dataset has it, too",
                "other": own.other,
                "how": "byte by byte"
                if own.distance is None
                else f"fingerprints differ in {counted(own.distance, 'bit')}",
            }
            for own in shared
        ]
        body = table(columns, rows)
        yield body if len(rows) <= 2 * _MOST_NAMED else folded(f"{counted(len(rows), 'image')}", body)
    for remark in found.result.notices:
        yield notice(remark)

"""The result as plain text, for the end of the job."""

import math
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence

from pipelines.evaluation.pairing import POOLED, Comparison
from pipelines.evaluation.published import PublishedTable
from pipelines.evaluation.result import EvaluationResult, SharedImage
from pipelines.evaluation.summary import Summary, SummaryBlock, SummaryCell, SummaryColumn, summarise
from pipelines.progress import printable
from rssr.metrics import METRICS
from rssr.plain_table import format_table

_WIDTH = 118  # characters of a line, beyond which columns go into a table of their own
_GAP = 2
_NUM_EXAMPLES = 3


def result_text(result: EvaluationResult, published: PublishedTable | None = None) -> str:
    """Everything that someone at a terminal wants to know, a blank line between its parts.

    Args:
        result: Of the evaluation.
        published: Table of a paper to show beside it.
    """
    summary = summarise(result)
    parts = [_block_text(block, summary.columns) for block in summary.blocks]
    parts.append("*  best of its column    ** best, and clearly better than every other method, image by image")
    parts += [_against_text(summary, result), _published_text(published, summary), _warnings(summary)]
    parts += [_gaps(result), _failures(result), shared_text(result.shared)]
    parts += [*(f"Note: {notice}" for notice in result.notices), result.promotion]
    return "\n\n".join(part for part in parts if part)


def _block_text(block: SummaryBlock, columns: Sequence[SummaryColumn]) -> str:
    titles = [f"{block.dataset} x{block.scale:g}, {block.num_images} images"]
    names = ["method", *(row.method for row in block.rows)]
    images = ["images", *(str(row.num_images) for row in block.rows)]
    body = []
    for column in columns:
        cells = [row.cells.get(column.name) for row in block.rows]
        digits = digits_of([cell.value for cell in cells if cell is not None])
        if column.metric is not None or any(cells):  # a metric that is missing shows as a gap, an unknown cost not
            body.append([column.title, *(_cell_text(cell, digits) for cell in cells)])
    tables = [
        format_table(list(zip(names, images, *chunk, strict=True)), right=range(1, 2 + len(chunk)))
        for chunk in _chunks(body, _WIDTH - sum(max(map(len, column)) + _GAP for column in (names, images)))
    ]
    return "\n".join(titles + tables)


def _chunks(columns: Sequence[list[str]], width: int) -> Iterator[list[list[str]]]:
    """Columns that fit side by side, one at least."""
    chunk: list[list[str]] = []
    used = 0
    for column in columns:
        needed = max(map(len, column)) + _GAP
        if chunk and used + needed > width:
            yield chunk
            chunk, used = [], 0
        chunk.append(column)
        used += needed
    yield chunk


def _cell_text(cell: SummaryCell | None, digits: int) -> str:
    """E.g. `26.05 [25.80, 26.31]**`; two places are kept for the marks, so that figures stand below one another."""
    if cell is None:
        return ""
    interval = f" [{cell.low:.{digits}f}, {cell.high:.{digits}f}]" if math.isfinite(cell.low) else ""
    mark = "**" if cell.is_winner else "* " if cell.is_best else "  "
    return f"{cell.value:.{digits}f}{interval}{mark}"


def digits_of(values: Sequence[float]) -> int:
    """Digits after the point that give the largest value four significant ones, as the papers print them."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return next((digits for digits, limit in enumerate((1000, 100, 10, 1)) if largest >= limit), 4)


def _against_text(summary: Summary, result: EvaluationResult) -> str:
    """Each method against the reference, by the metric that ranks, image by image."""
    rows = [["dataset", "scale", "method", "difference", "95 % interval", "images won", "images", "left out"]]
    for block in summary.blocks:
        rows += [_comparison_row(found) for found in block.against if found.metric.name == result.rank_by]
    if len(rows) == 1:
        return ""
    spec = result.spec(result.rank_by)
    better = "more is better" if spec.direction == "higher" else "less is better"
    return (
        f"{spec.title} against {result.reference}, image by image ({better})\n{format_table(rows, right=range(3, 8))}"
    )


def _comparison_row(found: Comparison) -> list[str]:
    place = [found.dataset, "" if found.scale is None else f"{found.scale:g}", found.method]
    counts = [str(found.num_images), str(found.num_left_out)]
    difference = found.difference
    if difference is None:
        return [*place, "", "", "", *counts]
    digits = digits_of([difference.low, difference.high])
    interval = f"[{difference.low:+.{digits}f}, {difference.high:+.{digits}f}]"
    return [*place, f"{difference.mean:+.{digits}f}", interval, f"{found.share_won:.0%}", *counts]


def _published_text(table: PublishedTable | None, summary: Summary) -> str:
    """A paper's table, rows and columns as there, and below it ours in the same columns; what is not known is blank."""
    if table is None:
        return ""
    lines = [f"{table.title} ({table.date})"]
    for place, source in zip(table.places, table.sources, strict=True):
        ours = next((block for block in summary.blocks if (block.dataset, block.scale) == place), None)
        if ours is None and place[0] == POOLED:  # one dataset alone is measured
            continue
        rows = [(category, method) for category, method in zip(table.categories, table.methods, strict=True)]
        rows += [("measured here", row.method) for row in ours.rows] if ours else []
        columns = [[_titled(name, summary), *_beside(table, place, name, ours)] for name in table.columns]
        body = zip(["", *(row[0] for row in rows)], ["method", *(row[1] for row in rows)], *columns, strict=True)
        lines += [f"{place[0]} x{place[1]:g}, published in: {source}"]
        lines += [format_table([list(row) for row in body], right=range(2, 2 + len(columns)))]
    hardware = f"Published times: {table.hardware}." if table.hardware else ""
    return "\n".join([*lines, *textwrap.wrap(" ".join(filter(None, (hardware, table.notes))), _WIDTH)])


def _beside(table: PublishedTable, place: tuple[str, float], name: str, ours: SummaryBlock | None) -> list[str]:
    """A column of a paper and ours below it, with as many digits as the paper prints."""
    published = [table.value(place, method, name) for method in table.methods]
    cells = [row.cells.get(name) for row in ours.rows] if ours else []
    measured = [math.nan if cell is None else cell.value for cell in cells]
    digits = max((len(repr(value).partition(".")[2]) for value in published if not math.isnan(value)), default=4)
    return [
        "" if math.isnan(value) else f"{value:.{min(digits, digits_of([value]))}f}" for value in (*published, *measured)
    ]


def _titled(name: str, summary: Summary) -> str:
    """Heading of a column, be it measured or not."""
    titles = {spec.name: spec.title for spec in METRICS.values()}
    titles |= {column.name: column.title for column in summary.columns}
    return titles.get(name, name)


def _warnings(summary: Summary) -> str:
    lines = [
        f"{block.dataset} x{block.scale:g}, {column.title}: {cell.warning} ({cell.num_images} images)"
        for block in summary.blocks
        for column in summary.columns
        for cell in [row.cells[column.name] for row in block.rows if column.name in row.cells][:1]
        if cell.warning
    ]
    return "\n".join(lines)


def _gaps(result: EvaluationResult) -> str:
    return "\n".join(
        f"{result.spec(name).title} is missing: {gap.name} ({gap.place}). Fetch it with `{gap.command}`."
        for name, gap in result.gaps.items()
    )


def _failures(result: EvaluationResult) -> str:
    """What is not among the figures, counted by dataset and method, with examples."""
    groups = defaultdict(list)
    for failure in result.failures:
        groups[failure.dataset, failure.method].append(failure)
    lines = []
    for (dataset, method), found in groups.items():
        lines.append(f"{dataset}: {len(found)} left out{f' of {method}' if method else ''}")
        lines += [f"  {printable(failure.key)}: {failure.reason}" for failure in found[:_NUM_EXAMPLES]]
        lines += ["  ..."] if len(found) > _NUM_EXAMPLES else []
    return "\n".join(lines)


def shared_text(shared: Sequence[SharedImage]) -> str:
    """Images that methods have learnt from, or that datasets share: all are counted, and a few of each kind named."""
    groups: dict[tuple[str, str, bool], list[SharedImage]] = defaultdict(list)
    for one in shared:
        groups[one.dataset, one.method, one.distance is None].append(one)
    lines = []
    for (dataset, method, is_same), found in groups.items():
        if method:
            what = f"{'that' if is_same else 'that resemble what'} {method} was trained on"
        else:
            what = "that another dataset has as well" if is_same else "that resemble those of another dataset"
        lines.append(f"Images of {dataset} {what}: {len(found)}")
        examples = [_example(one) for one in found[:_NUM_EXAMPLES]]
        lines += examples + (["  ..."] if len(found) > _NUM_EXAMPLES else [])
    return "\n".join(lines)


def _example(one: SharedImage) -> str:
    apart = "" if one.distance is None else f" ({one.distance} bits of 64 apart)"
    return f"  {printable(one.key)}: {printable(one.other)}{apart}"

"""Means of all metrics with their intervals, and figures of papers beside ours."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from pipelines.evaluation.findings import Findings, Place, counted, is_of_trust, titled
from pipelines.evaluation.pairing import POOLED
from pipelines.evaluation.published import PARAMETERS, SECONDS
from pipelines.evaluation.result import PublishedCell
from pipelines.evaluation.summary import SummaryBlock, SummaryColumn, SummaryRow, summarise
from pipelines.report import Column, Estimate, Part, notice, prose, table
from pipelines.report.table import Cell
from rssr.metrics import METRICS
from rssr.metrics.spec import MetricSpec

_MEGA = 1e6
_LARGE = 2.0  # figures up to it are written with four digits after the point
_COSTS = {SECONDS: "Time, s", PARAMETERS: "Parameters, M"}


def scores(found: Findings) -> Iterable[Part]:
    """A table for each dataset and scale, the best of each column marked."""
    yield prose(
        "Means over the images of each dataset, with 95 % intervals from the bootstrap over images below them. The "
        "best value of each column is marked, and called clearly best where the paired interval to each other method "
        "leaves zero out. That tells more than whether the intervals overlap: images differ far more than methods do."
    )
    summary = summarise(found.result)
    columns = [column for column in summary.columns if _is_shown(column)]
    for block in sorted(summary.blocks, key=lambda block: block.dataset != POOLED):
        yield _table(found, block, columns)
    cells = [cell for block in summary.blocks for row in block.rows for cell in row.cells.values()]
    warnings = dict.fromkeys(cell.warning.rstrip(".") for cell in cells if cell.warning)
    if warnings:
        yield notice(" ".join(f"{warning[0].upper()}{warning[1:]}." for warning in warnings), "warning")


def metric_column(found: Findings, spec: MetricSpec) -> Column:
    """The column of a metric."""
    best: Literal["highest", "lowest"] = "highest" if spec.direction == "higher" else "lowest"
    return Column(spec.name, titled(spec), best, found.digits(spec.name), is_numeric=True)


def _is_shown(column: SummaryColumn) -> bool:
    """How good images are, gaps included, and the time; the rest stands in sections of its own."""
    return column.name == SECONDS if column.metric is None else not is_of_trust(column.metric)


def _table(found: Findings, block: SummaryBlock, columns: Sequence[SummaryColumn]) -> Part:
    shown = [Column("method", "Method"), Column("images", "Images")]
    for column in columns:
        shown.append(
            Column(column.name, _COSTS[SECONDS], None, 3)
            if column.metric is None
            else metric_column(found, column.metric)
        )
    rows = [{"method": row.method, "images": row.num_images, **_cells(row)} for row in block.rows]
    return table(shown, rows, f"{Place(block.dataset, block.scale).title}: {counted(block.num_images, 'image')}")


def _cells(row: SummaryRow) -> dict[str, Cell]:
    return {
        name: Estimate(cell.value, cell.low, cell.high, "clearly best" if cell.is_winner else "")
        for name, cell in row.cells.items()
    }


def published(found: Findings) -> Iterable[Part]:
    """Figures of papers beside ours, where there are any; a cell is blank where a paper gives none."""
    cells = found.result.published
    yield prose(
        "Figures as papers print them, beside ours where a method has the same name. They were measured on other "
        "choices of images, other degradations and other machines, unless the source says the same: compare the order "
        "of methods rather than the digits. A blank cell means that the paper gives no figure, or that we have none."
    )
    for dataset, scale in dict.fromkeys((cell.dataset, cell.scale) for cell in cells):
        place = Place(dataset, scale)
        yield _beside(found, place, [cell for cell in cells if (cell.dataset, cell.scale) == place])


def _beside(found: Findings, place: Place, cells: Sequence[PublishedCell]) -> Part:
    """Rows are the paper's methods in its order, then ours that it does not have."""
    ours = {_plain(name): name for name in found.methods}
    theirs = {_plain(cell.method): cell.method for cell in cells}
    rows: dict[str, dict[str, Cell]] = {key: {"method": theirs.get(key) or ours[key]} for key in [*theirs, *ours]}
    columns = [Column("method", "Method")]
    for name in dict.fromkeys(cell.metric for cell in cells):
        figures = {_plain(cell.method): cell.value for cell in cells if cell.metric == name}
        values = {key: _ours(found, place, own, name) for key, own in ours.items()}
        title, digits = _titled(name), _digits(name, list(figures.values()))
        columns.append(Column(f"{name} published", f"{title}: published", None, digits, is_numeric=True))
        if any(value is not None for value in values.values()):
            columns.append(Column(name, "ours", None, digits, is_numeric=True))
        for key, row in rows.items():
            value = values.get(key)
            row |= {f"{name} published": figures.get(key, ""), name: "" if value is None else value}
    sources = "; ".join(dict.fromkeys(cell.source for cell in cells))
    return table(columns, list(rows.values()), f"{place.title}. Published: {sources}")


def _titled(name: str) -> str:
    """Of a metric or a cost."""
    return titled(METRICS[name]) if name in METRICS else _COSTS.get(name, name)


def _digits(name: str, figures: Sequence[float]) -> int:
    """With which published figures are written, and ours beside them."""
    if name == SECONDS:
        return 3
    return 2 if max(map(abs, figures)) > _LARGE else 4


def _ours(found: Findings, place: Place, method: str, name: str) -> Cell:
    """Our figure; None where we have none."""
    if name == SECONDS:
        return found.seconds(method, place.scale, dataset=place.dataset)
    if name == PARAMETERS:
        number = next(facts.num_parameters for facts in found.result.methods if facts.name == method)
        return None if number is None else number / _MEGA
    value = found.set_value(place, method, name)
    return found.mean(method, name, place) if value is None else Estimate(value.value, value.low, value.high)


def _plain(name: str) -> str:
    """A method's name as it is compared with a paper's: `Ours (SlimDiffSR)` is our `slimdiffsr-x4`."""
    bare = re.sub(r"[^a-z0-9]", "", name.lower())
    return re.sub(r"^ours|official$|x\d+$", "", bare) or bare

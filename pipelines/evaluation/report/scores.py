"""Means of all metrics with their intervals, and figures of papers beside ours."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pipelines.evaluation.published import PARAMETERS, SECONDS
from pipelines.evaluation.report.found import Findings, Place, counted, titled
from pipelines.evaluation.result import PublishedCell
from pipelines.report import Column, Estimate, Part, notice, prose, table
from pipelines.report.table import Cell
from rssr.metrics.spec import MetricSpec

_MEGA = 1e6
_NAMES = {SECONDS: ("Time, s", 3), PARAMETERS: ("Parameters, M", 2)}


def scores(found: Findings) -> Iterable[Part]:
    """A table for each dataset and scale, the best of each column marked."""
    yield prose(
        "Means over the images of each dataset, with 95 % intervals from the bootstrap over images below them. The "
        "best value of each column is marked. Whether two methods really differ is told by the paired comparison "
        "below rather than by whether these intervals overlap: images differ far more than methods do."
    )
    for place in found.places:
        yield _table(found, place)
    warnings = dict.fromkeys(value.warning.rstrip(".") for value in found.result.set_values if value.warning)
    if warnings:
        yield notice(" ".join(f"{warning[0].upper()}{warning[1:]}." for warning in warnings), "warning")


def metric_column(found: Findings, spec: MetricSpec) -> Column:
    """The column of a metric."""
    best: Literal["highest", "lowest"] = "highest" if spec.direction == "higher" else "lowest"
    return Column(spec.name, titled(spec), best, found.digits(spec.name))


def _table(found: Findings, place: Place) -> Part:
    rows = found.rows_at(place)
    names = [name for name in found.methods if any(row.method == name for row in rows)]
    columns = [
        Column("method", "Method"),
        Column("images", "Images"),
        *(metric_column(found, spec) for spec in (*found.quality, *found.of_sets)),
        Column("seconds", "Time, s", None, 3),
    ]
    body = [_row(found, place, name) for name in names]
    return table(columns, body, f"{place.title}: {counted(len({row.key for row in rows}), 'image')}")


def _row(found: Findings, place: Place, name: str) -> Mapping[str, Cell]:
    facts = next(facts for facts in found.result.methods if facts.name == name)
    mine = [row for row in found.rows_at(place) if row.method == name]
    cells: dict[str, Cell] = {
        "method": f"{name} (official weights)" if facts.is_official and "official" not in name else name,
        "images": len(mine),
        "seconds": found.seconds(name, place.scale, dataset=place.dataset),
    }
    cells |= {spec.name: found.mean(name, spec.name, place) for spec in found.quality}
    for spec in found.of_sets:
        value = found.set_value(place, name, spec.name)
        cells[spec.name] = None if value is None else Estimate(value.value, value.low, value.high)
    return cells


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
    names = list(dict.fromkeys(cell.metric for cell in cells))
    ours = {_plain(name): name for name in found.methods}
    theirs = {_plain(cell.method): cell.method for cell in cells}
    figures = {(_plain(cell.method), cell.metric): cell.value for cell in cells}
    columns = [Column("method", "Method"), *(column for name in names for column in _columns(found, name))]
    rows: list[dict[str, Cell]] = []
    for key in dict.fromkeys([*theirs, *ours]):
        row: dict[str, Cell] = {"method": theirs.get(key) or ours[key]}
        for name in names:
            value = _ours(found, place, ours[key], name) if key in ours else None
            row |= {f"{name} published": figures.get((key, name), ""), name: "" if value is None else value}
        rows.append(row)
    sources = "; ".join(dict.fromkeys(cell.source for cell in cells))
    return table(columns, rows, f"{place.title}. Published: {sources}")


def _columns(found: Findings, name: str) -> tuple[Column, Column]:
    """A figure as published, and ours."""
    spec = next((spec for spec in found.result.metrics if spec.name == name), None)
    title, digits = (titled(spec), found.digits(name)) if spec else _NAMES.get(name, (name, 4))
    return Column(f"{name} published", f"{title}: published", None, digits, True), Column(
        name, "ours", None, digits, True
    )


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

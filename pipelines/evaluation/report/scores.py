"""Means of all metrics with their intervals, and figures of papers beside ours."""

import re
from collections.abc import Iterable, Mapping

from pipelines.evaluation.report.found import Findings, Place, counted, titled
from pipelines.evaluation.result import PublishedCell
from pipelines.report import Column, Estimate, Part, notice, prose, table
from pipelines.report.table import Cell
from rssr.metrics.spec import MetricSpec

_MEGA = 1e6


def scores(found: Findings) -> Iterable[Part]:
    """A table for each dataset and scale, the best of each column marked."""
    yield prose(
        "Means over the images of each dataset, with 95 % intervals from the bootstrap over images below them. The "
        "best value of each column is marked. Whether two methods really differ is told by the paired comparison "
        "below rather than by whether these intervals overlap: images differ far more than methods do."
    )
    for place in found.places:
        yield _table(found, place)
    warnings = dict.fromkeys(value.warning for value in found.result.set_values if value.warning)
    for warning in warnings:
        yield notice(f"{warning[0].upper()}{warning[1:]}{'' if warning.endswith('.') else '.'}", "warning")


def metric_column(found: Findings, spec: MetricSpec) -> Column:
    """The column of a metric."""
    best = "highest" if spec.direction == "higher" else "lowest"
    return Column(spec.name, titled(spec), best, found.digits(spec.name))


def _table(found: Findings, place: Place) -> Part:
    rows = found.rows_at(place)
    names = [name for name in found.methods if any(row.method == name for row in rows)]
    columns = [
        Column("method", "Method"),
        Column("images", "Images"),
        *(metric_column(found, spec) for spec in (*found.quality, *found.of_sets)),
        Column("seconds", "Time, s", "lowest", 3),
        Column("parameters", "Parameters, M", None, 1),
    ]
    body = [_row(found, place, name) for name in names]
    return table(columns, body, f"{place.title}: {counted(len({row.key for row in rows}), 'image')}")


def _row(found: Findings, place: Place, name: str) -> Mapping[str, Cell]:
    facts = next(facts for facts in found.result.methods if facts.name == name)
    mine = [row for row in found.rows_at(place) if row.method == name]
    cells: dict[str, Cell] = {
        "method": f"{name} (official weights)" if facts.is_official and "official" not in name else name,
        "images": len(mine),
        "seconds": found.seconds_at(name, place),
        "parameters": None if facts.num_parameters is None else facts.num_parameters / _MEGA,
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
    for place in found.places:
        mine = [cell for cell in cells if (cell.dataset, cell.scale) == place]
        if mine:
            yield _beside(found, place, mine)
    sources = dict.fromkeys(cell.source for cell in cells)
    yield prose(f"Sources: {'; '.join(sources)}.")


def _beside(found: Findings, place: Place, cells: list[PublishedCell]) -> Part:
    specs = [spec for spec in found.result.metrics if any(cell.metric == spec.name for cell in cells)]
    columns = [Column("method", "Method")]
    for spec in specs:
        digits = found.digits(spec.name)
        columns.append(Column(f"{spec.name} published", f"{titled(spec)}: published", None, digits, is_numeric=True))
        columns.append(Column(spec.name, "ours", None, digits, is_numeric=True))
    ours = {_plain(name): name for name in found.methods}
    theirs = {_plain(cell.method): cell.method for cell in cells}
    rows: list[dict[str, Cell]] = []
    for key in dict.fromkeys([*theirs, *ours]):
        row: dict[str, Cell] = {"method": theirs.get(key) or ours[key]}
        for spec in specs:
            figure = next((c for c in cells if (_plain(c.method), c.metric) == (key, spec.name)), None)
            row[f"{spec.name} published"] = "" if figure is None else figure.value
            row[spec.name] = (_ours(found, place, ours[key], spec) if key in ours else None) or ""
        rows.append(row)
    return table(columns, rows, place.title)


def _ours(found: Findings, place: Place, name: str, spec: MetricSpec) -> Estimate | None:
    if spec.needs != "set":
        return found.mean(name, spec.name, place)
    value = found.set_value(place, name, spec.name)
    return None if value is None else Estimate(value.value, value.low, value.high)


def _plain(name: str) -> str:
    """A method's name as it is compared with a paper's."""
    return re.sub(r"[^a-z0-9]", "", name.lower())

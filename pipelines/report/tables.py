"""Tables of results, with the best value marked, and lists of facts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from pipelines.report.page import render

Cell = str | float | int | None


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Key of its cells.
        title: Heading.
        best: Which value is marked, if any.
        digits: Decimals of numbers.
    """

    name: str
    title: str
    best: Literal["highest", "lowest"] | None = None
    digits: int = 2


def table(columns: Sequence[Column], rows: Sequence[Mapping[str, Cell]]) -> Markup:
    """A table; missing cells stay blank, never a made-up number."""
    best = {column.name: _best(column, rows) for column in columns}
    cells = [
        [
            (_text(row.get(column.name), column.digits), _is_best(row.get(column.name), best[column.name]))
            for column in columns
        ]
        for row in rows
    ]
    numeric = [any(isinstance(row.get(column.name), int | float) for row in rows) for column in columns]
    return render("table.html", titles=[column.title for column in columns], cells=cells, numeric=numeric)


def facts(values: Mapping[str, Cell]) -> Markup:
    """Names and values, one a line."""
    return render("facts.html", facts=[(name, _text(value, 4)) for name, value in values.items()])


def _best(column: Column, rows: Sequence[Mapping[str, Cell]]) -> float | None:
    values = [row[column.name] for row in rows if isinstance(row.get(column.name), int | float)]
    numbers = [float(value) for value in values if value is not None and not isinstance(value, str)]
    finite = [number for number in numbers if math.isfinite(number)]
    if column.best is None or not finite:
        return None
    return max(finite) if column.best == "highest" else min(finite)


def _is_best(value: Cell, best: float | None) -> bool:
    return best is not None and isinstance(value, int | float) and float(value) == best


def _text(value: Cell, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.{digits}f}"

"""Tables of results with the best value of each column marked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.report.estimate import Estimate
from pipelines.report.templates import Part, render

Cell = str | int | float | Estimate | None
_MISSING = "–"  # noqa: RUF001  # a dash, as tables have it


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: Key of its cells.
        title: Heading, with the unit.
        best: Which value is marked best; None marks no value.
        digits: Digits after the point of floating-point values.
        is_numeric: Whether text stands as numbers do, e.g. a value with its interval.
    """

    name: str
    title: str
    best: Literal["highest", "lowest"] | None = None
    digits: int = 2
    is_numeric: bool = False


def table(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Cell]], caption: str = "", anchors: Sequence[str] = ()
) -> Part:
    """A table whose first column names the rows.

    Values that look equal are all marked best; missing ones (no key, None, NaN) are shown as a dash, and are never
    best. A single value is not marked, as there is nothing that it is better than. Intervals stand below their values.
    A text that is a part, e.g. a link, is shown as such.

    Args:
        columns: The columns, in order.
        rows: Cells by the columns' names; other keys are left out.
        caption: What the table shows.
        anchors: By which links lead to the rows, one a row; none by default.
    """
    best = {column.name: _best(column, [row.get(column.name) for row in rows]) for column in columns}
    numeric = {
        column.name: column.is_numeric or any(_number(row.get(column.name)) is not None for row in rows)
        for column in columns
    }
    body = [
        [
            {
                "text": (text := cell_text(row.get(column.name), column.digits)),
                "best": text == best[column.name],
                "numeric": numeric[column.name],
                "below": _below(row.get(column.name), column.digits),
            }
            for column in columns
        ]
        for row in rows
    ]
    return render(
        "table", columns=columns, numeric=numeric, rows=body, caption=caption, anchors=anchors or [""] * len(rows)
    )


def cell_text(cell: Cell, digits: int) -> str:
    """A value as tables and facts show it; of an estimate the number alone."""
    if isinstance(cell, Estimate) and not math.isnan(cell.value):
        return cell.value_text(digits)
    if cell is None or isinstance(cell, Estimate) or (isinstance(cell, float) and math.isnan(cell)):
        return _MISSING
    if isinstance(cell, str):
        return cell  # a part stays one, and is not escaped again
    if isinstance(cell, bool):
        return str(cell)
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:,.{digits}f}"


def _below(cell: Cell, digits: int) -> list[str]:
    """What stands below the number, in small type."""
    if not isinstance(cell, Estimate):
        return []
    return [line for line in (cell.interval_text(digits), cell.note) if line]


def _best(column: Column, cells: Sequence[Cell]) -> str | None:
    """The best value as shown; None where there is nothing to compare."""
    if column.best is None:
        return None
    values = [number for cell in cells if (number := _number(cell)) is not None]
    if len(values) < 2:
        return None
    return cell_text(max(values) if column.best == "highest" else min(values), column.digits)


def _number(cell: Cell) -> int | float | None:
    """The number in a cell; None where there is none."""
    value = cell.value if isinstance(cell, Estimate) else cell
    return value if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value) else None

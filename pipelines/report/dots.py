"""Dots with their intervals on a common axis, row by row: drawn by the page itself, so that they fit any width."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.report.drawing import MARKERS, NUM_COLOURS
from pipelines.report.estimate import Estimate
from pipelines.report.templates import Part, render

_NUM_TICKS = 5
_MARGIN = 0.03  # of the axis, left free at both ends
_SHAPES = dict(zip(MARKERS, ("round", "square", "diamond"), strict=True))


@dataclass(frozen=True)
class DotRow:
    """One row.

    Attributes:
        label: What it is, e.g. a class.
        values: Estimates by series, e.g. by method; those that are missing leave their lane empty.
        note: A few words beside the label, e.g. how many images.
    """

    label: str
    values: Mapping[str, Estimate]
    note: str = ""


def dots(
    rows: Sequence[DotRow],
    title: str,
    x_label: str,
    digits: int = 2,
    mark: float | None = None,
    series: Sequence[str] = (),
) -> Part:
    """A dot and the interval around it for each series of each row.

    Args:
        rows: From top to bottom. Series have the same colour and marker in all of them.
        title: What is drawn.
        x_label: Name and unit of the axis.
        digits: Digits after the point, in words.
        mark: A value to draw a line at, e.g. 0 for differences.
        series: Series in the order of their colours, so that several plots have the same ones; those that are not in
            the rows take part in the order alone. By default as they appear.
    """
    having = {name for row in rows for name in row.values}
    order = list(dict.fromkeys([*series, *(name for row in rows for name in row.values)]))
    names = {name: number for number, name in enumerate(order) if name in having}
    ends = [end for row in rows for value in row.values.values() for end in (value.value, value.low, value.high)]
    finite = [end for end in [*ends, *([] if mark is None else [mark])] if math.isfinite(end)]
    axis = _Axis.around(finite) if finite else None
    shown = [
        {
            "label": row.label,
            "note": row.note,
            "lanes": [_lane(axis, row.values.get(name), digits, number) for name, number in names.items()],
            "words": "; ".join(f"{name} {value.text(digits)}" for name, value in row.values.items()),
        }
        for row in rows
        if axis is not None
    ]
    return render(
        "dots",
        rows=shown,
        title=title,
        x_label=x_label,
        names=[{"name": name, **_look(number)} for name, number in names.items()],
        ticks=[] if axis is None else [{"at": axis.place(tick), "text": text} for tick, text in axis.ticks()],
        mark=None if axis is None or mark is None else axis.place(mark),
    )


@dataclass(frozen=True)
class _Axis:
    """From `low` to `high`, with lines every `step`."""

    low: float
    high: float
    step: float

    @classmethod
    def around(cls, values: Sequence[float]) -> "_Axis":
        low, high = min(values), max(values)
        spread = (high - low) or abs(high) * 0.1 or 1.0
        rough = spread / _NUM_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        return cls(low - _MARGIN * spread, high + _MARGIN * spread, step)

    def place(self, value: float) -> float:
        """Where a value lies, per cent from the left."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    def ticks(self) -> list[tuple[float, str]]:
        digits = max(0, -math.floor(math.log10(self.step)))
        first, last = math.ceil(self.low / self.step), math.floor(self.high / self.step)
        ticks = [number * self.step for number in range(first, last + 1)]
        return [(tick, f"{tick + 0.0:,.{digits}f}") for tick in ticks]


def _look(number: int) -> dict[str, str | int]:
    return {"colour": number % NUM_COLOURS + 1, "shape": _SHAPES[MARKERS[number // NUM_COLOURS % len(MARKERS)]]}


def _lane(axis: _Axis | None, value: Estimate | None, digits: int, number: int) -> dict[str, object]:
    if axis is None or value is None or not math.isfinite(value.value):
        return {"is_empty": True}
    low, high = (value.low, value.high) if value.has_interval else (value.value, value.value)
    start, end = axis.place(low), axis.place(high)
    lane = {"at": axis.place(value.value), "start": start, "length": round(end - start, 2)}
    return {"is_empty": False, "text": value.text(digits), "value": value.value_text(digits), **lane, **_look(number)}

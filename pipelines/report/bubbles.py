"""Bubbles: two measures of each thing as its place, a third as its area."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.report.drawing import INK, PAPER, colour_of, draw, label_axes
from pipelines.report.templates import Part, render

_SIZE_INCHES = (10.0, 5.0)
_LARGEST_AREA = 3000.0  # square points
_SMALLEST_AREA = 16.0  # of the point in the middle, which has no meaning
_GAP = 3.0  # points between a bubble and its name
_Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Bubble:
    """One thing.

    Attributes:
        name: Written beside it.
        x: Horizontal measure.
        y: Vertical measure.
        area: What its area stands for, at least 0; None where that is unknown, or there is nothing: a point remains.
    """

    name: str
    x: float
    y: float
    area: float | None = None


@dataclass(frozen=True)
class Axis:
    """One axis of the plot.

    Attributes:
        label: Name and unit.
        is_log: Whether it is logarithmic; what is not positive is then left out.
        is_reversed: Whether small values are at its far end, so that better is up or right.
    """

    label: str
    is_log: bool = False
    is_reversed: bool = False


def bubbles(points: Sequence[Bubble], title: str, x: Axis, y: Axis, area_label: str = "") -> Part:
    """Things as bubbles with their names, e.g. quality against time; areas are true to scale.

    Args:
        points: Things; those whose place is not finite are left out. Colours are by the order of all.
        title: What is drawn.
        x: Horizontal axis.
        y: Vertical axis.
        area_label: What areas stand for, in words.
    """
    shown = [(number, point) for number, point in enumerate(points) if _has_place(point, x, y)]

    def paint(axes: Any) -> None:  # noqa: ANN401  # matplotlib is imported when it draws
        _paint(axes, shown, (x, y))

    svg = draw((points, x, y), _SIZE_INCHES, paint) if shown else ""
    words = "; ".join(_in_words(point, x, y, area_label) for _, point in shown)
    description = f"{title}: {words or 'no values'}"
    note = f"Area: {area_label}." if area_label else ""
    return render("drawing", svg=svg, title=title, names=[], description=description, note=note)


def _has_place(point: Bubble, x: Axis, y: Axis) -> bool:
    places = ((point.x, x), (point.y, y))
    return all(math.isfinite(value) and (value > 0 or not axis.is_log) for value, axis in places)


def _in_words(point: Bubble, x: Axis, y: Axis, area_label: str) -> str:
    area = f", {area_label} {point.area:.3g}" if area_label and point.area is not None else ""
    return f"{point.name}: {x.label} {point.x:.3g}, {y.label} {point.y:.4g}{area}"


def _paint(axes: Any, shown: Sequence[tuple[int, Bubble]], axis: tuple[Axis, Axis]) -> None:  # noqa: ANN401  # as above
    largest = max((point.area or 0.0 for _, point in shown), default=0.0) or 1.0
    areas = [_LARGEST_AREA * (point.area or 0.0) / largest for _, point in shown]
    for (number, point), area in sorted(zip(shown, areas, strict=True), key=lambda pair: -pair[1]):
        colour = colour_of(number)
        axes.scatter([point.x], [point.y], s=area, color=colour, alpha=0.25, linewidths=0)
        axes.scatter([point.x], [point.y], s=area, facecolors="none", edgecolors=colour, linewidths=1.2)
        axes.scatter([point.x], [point.y], s=_SMALLEST_AREA, color=colour, edgecolors=PAPER, linewidths=0.6)
    for told, name in zip(axis, "xy", strict=True):
        axes.margins(**{name: 0.16})
        if told.is_log:
            axes.set(**{f"{name}scale": "log"})
            getattr(axes, f"{name}axis").set_major_formatter(lambda value, _: f"{value:g}")
        if told.is_reversed:
            getattr(axes, f"invert_{name}axis")()
    label_axes(axes, axis[0].label, axis[1].label)
    axes.figure.draw_without_rendering()
    _name(axes, [point for _, point in shown], areas)


def _name(axes: Any, points: Sequence[Bubble], areas: Sequence[float]) -> None:  # noqa: ANN401  # as above
    """Write each name where it covers least: beside, above or below its bubble."""
    to_points = 72 / axes.figure.dpi
    centres = [tuple(place * to_points for place in axes.transData.transform((p.x, p.y))) for p in points]
    radii = [max(math.sqrt(area / math.pi), math.sqrt(_SMALLEST_AREA / math.pi)) for area in areas]
    taken: list[_Box] = [(x - r, y - r, x + r, y + r) for (x, y), r in zip(centres, radii, strict=True)]
    frame = tuple(end * to_points for end in axes.get_window_extent().extents)
    for point, centre, radius in zip(points, centres, radii, strict=True):
        text = axes.annotate(
            point.name, (point.x, point.y), (0, 0), textcoords="offset points", ha="center", va="center", color=INK
        )
        extent = text.get_window_extent()
        size = (extent.width * to_points, extent.height * to_points)
        offsets = _offsets(radius, size)
        boxes = [_box_at(centre, offset, size) for offset in offsets]
        costs = [sum(_overlap(box, other) for other in taken) + _outside(box, frame) for box in boxes]
        best = costs.index(min(costs))
        text.set_position(offsets[best])
        taken.append(boxes[best])


def _offsets(radius: float, size: tuple[float, float]) -> list[tuple[float, float]]:
    """Where the middle of a name may lie from the middle of its bubble, best first."""
    aside, above = radius + _GAP + size[0] / 2, radius + _GAP + size[1] / 2
    slanted = (0.7 * radius + size[0] / 2 + _GAP, 0.7 * radius + size[1] / 2 + _GAP)
    corners = [(sign_x * slanted[0], sign_y * slanted[1]) for sign_x in (1, -1) for sign_y in (1, -1)]
    return [(aside, 0), (-aside, 0), (0, above), (0, -above), *corners, (0, 2 * above), (0, -2 * above)]


def _box_at(centre: tuple[float, ...], offset: tuple[float, float], size: tuple[float, float]) -> _Box:
    x, y = centre[0] + offset[0], centre[1] + offset[1]
    return x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2


def _overlap(a: _Box, b: _Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def _outside(box: _Box, frame: tuple[float, ...]) -> float:
    """Area of a box that lies beyond the frame."""
    return (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, (frame[0], frame[1], frame[2], frame[3]))

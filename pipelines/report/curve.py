"""Curves over a common axis."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.report.drawing import colour_of, draw, label_axes
from pipelines.report.templates import Part, render

Series = tuple[ArrayLike, ArrayLike]

_MOST_POINTS = 800
_SIZE_INCHES = (10.0, 3.5)


def curve(series: Mapping[str, Series], title: str, x_label: str, y_label: str, log_scale: bool = False) -> Part:
    """One or several curves over a common axis.

    Args:
        series: x and y by name. Values that are not finite are left out, and on a logarithmic axis those that are
            not positive; long series are thinned.
        title: What is drawn.
        x_label: Name and unit of the horizontal axis.
        y_label: Name and unit of the vertical axis.
        log_scale: Logarithmic vertical axis.
    """
    cleaned = {name: _clean(x, y, log_scale) for name, (x, y) in series.items()}
    drawn = {name: points for name, points in cleaned.items() if points.shape[1]}

    def paint(axes: Any) -> None:  # noqa: ANN401  # matplotlib is imported when it draws
        for number, points in enumerate(drawn.values()):
            marker = "o" if points.shape[1] == 1 else None  # a line of one point would be invisible
            axes.plot(*points, color=colour_of(number), linewidth=1.6, marker=marker, markersize=4)
        axes.set_yscale("log" if log_scale else "linear")
        label_axes(axes, x_label, y_label)

    key = [(name, points.tobytes()) for name, points in drawn.items()]
    svg = draw(key, _SIZE_INCHES, paint) if drawn else ""
    names = list(drawn) if len(series) > 1 else []
    return render("drawing", svg=svg, title=title, names=names, description=_describe(title, drawn), note="")


def _clean(x: ArrayLike, y: ArrayLike, log: bool) -> NDArray[np.float64]:
    """Points [2, N] that can be drawn, N bounded."""
    points = np.stack([np.asarray(x, np.float64).ravel(), np.asarray(y, np.float64).ravel()])
    usable = np.isfinite(points).all(axis=0)
    if log:
        usable &= points[1] > 0
    points = points[:, usable]
    if points.shape[1] > _MOST_POINTS:
        chosen = np.linspace(0, points.shape[1] - 1, _MOST_POINTS).round().astype(int)
        points = points[:, chosen]
    return points


def _describe(title: str, series: Mapping[str, NDArray[np.float64]]) -> str:
    """The curves in words, for those who cannot see them."""
    ends: Sequence[str] = [f"{name} from {points[1, 0]:.4g} to {points[1, -1]:.4g}" for name, points in series.items()]
    return f"{title}: {'; '.join(ends) if ends else 'no values'}"

"""How often values come about."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.report.drawing import INK, PAPER, colour_of, draw, label_axes
from pipelines.report.templates import Part, render

_SIZE_INCHES = (10.0, 2.6)
_FEWEST_BARS, _MOST_BARS = 8, 40


def histogram(
    values: ArrayLike,
    title: str,
    x_label: str,
    y_label: str,
    split: tuple[float, str, str] | None = None,
    below_is_good: bool = False,
) -> Part:
    """Bars over equally wide ranges of a value.

    Args:
        values: Any shape; those that are not finite are left out.
        title: What is drawn.
        x_label: Name and unit of the values.
        y_label: What is counted.
        split: A value that no bar lies across, and what values below and above it mean; both sides then differ in
            colour and are counted in the legend.
        below_is_good: Whether the good side, which has the first colour, is the one below the split.
    """
    flat = np.asarray(values, np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    edges = _edges(flat, None if split is None else split[0])

    def paint(axes: Any) -> None:  # noqa: ANN401  # matplotlib is imported when it draws
        counts, _ = np.histogram(flat, edges)
        is_above = [split is None or middle > split[0] for middle in (edges[:-1] + edges[1:]) / 2]
        colours = [colour_of(0 if above != below_is_good else 1) for above in is_above]
        axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colours, edgecolor=PAPER, linewidth=0.8)
        axes.grid(False, axis="x")
        if split is not None:
            axes.axvline(split[0], color=INK, linewidth=1)
        axes.yaxis.get_major_locator().set_params(integer=True)
        label_axes(axes, x_label, y_label)

    svg = draw((flat.tobytes(), split, below_is_good), _SIZE_INCHES, paint) if flat.size else ""
    names = _sides(flat, split)[:: -1 if below_is_good else 1]
    return render("drawing", svg=svg, title=title, names=names, description=_describe(title, flat, names), note="")


def _edges(values: NDArray[np.float64], split: float | None) -> NDArray[np.float64]:
    """Of the bars; one of them is the value that no bar lies across."""
    if not values.size:
        return np.zeros(0)
    start = 0.0 if split is None else split
    low, high = min(float(values.min()), start if split is not None else math.inf), float(values.max())
    high = max(high, start if split is not None else -math.inf)
    number = min(max(round(math.sqrt(values.size)), _FEWEST_BARS), _MOST_BARS)
    width = (high - low) / number or 1.0
    first = math.floor((low - start) / width + 1e-9)
    last = max(math.ceil((high - start) / width - 1e-9), first + 1)
    edges: NDArray[np.float64] = start + width * np.arange(first, last + 1, dtype=np.float64)
    return edges


def _sides(values: NDArray[np.float64], split: tuple[float, str, str] | None) -> list[str]:
    """Both sides with the number of their values, in the order of the colours; values at the split are on neither."""
    if split is None or not values.size:
        return []
    below, above = int((values < split[0]).sum()), int((values > split[0]).sum())
    return [f"{split[2]}: {above:,}", f"{split[1]}: {below:,}"]


def _describe(title: str, values: NDArray[np.float64], names: Sequence[str]) -> str:
    if not values.size:
        return f"{title}: no values"
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    told = f"{values.size:,} values, the middle one {middle:.3g}, nine in ten from {low:.3g} to {high:.3g}"
    return f"{title}: {'; '.join([told, *names])}"

"""Curves, drawn to SVG inside the page: text stays text, colours follow the page's."""

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray

from pipelines.report.templates import Part, render

Series = tuple[ArrayLike, ArrayLike]

NUM_COLOURS = 6
_MOST_POINTS = 800
_SIZE_INCHES = (10.0, 3.5)
# Matplotlib draws in colours that nothing else has; they become the page's own, for light and dark.
_INK = "#00fe01"
_GRID = "#00fe02"
_SERIES = [f"#00fd{number:02x}" for number in range(1, NUM_COLOURS + 1)]
_WORDS = {_INK: "currentColor", _GRID: "var(--line)"}
_WORDS |= {colour: f"var(--series-{number})" for number, colour in enumerate(_SERIES, 1)}


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
    svg = _draw(drawn, x_label, y_label, log_scale) if drawn else Markup("")
    names = list(drawn) if len(series) > 1 else []
    return render("curve", svg=svg, title=title, names=names, description=_describe(title, drawn))


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


def _draw(series: Mapping[str, NDArray[np.float64]], x_label: str, y_label: str, log: bool) -> Markup:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    salt = hashlib.sha256(repr([(name, points.tobytes()) for name, points in series.items()]).encode()).hexdigest()
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": salt[:12], "font.size": 9, "path.simplify_threshold": 0.5}
    with mpl.rc_context(style):
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
        for number, points in enumerate(series.values()):
            marker = "o" if points.shape[1] == 1 else None  # a line of one point would be invisible
            axes.plot(*points, color=_SERIES[number % NUM_COLOURS], linewidth=1.6, marker=marker, markersize=4)
        axes.set_yscale("log" if log else "linear")
        axes.set_xlabel(x_label, color=_INK)
        axes.set_ylabel(y_label, color=_INK)
        axes.tick_params(which="both", colors=_INK, length=0)
        axes.grid(True, color=_GRID, linewidth=0.8)
        axes.spines[:].set_visible(False)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _inline(buffer.getvalue(), salt[:8])


def _inline(svg: str, prefix: str) -> Markup:
    """An SVG file as a part of an HTML page: no prologue, no namespaces, no ids that could clash."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", svg, count=5)
    svg = svg.replace("xlink:href", "href")
    referenced = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
    kept = {name for pair in referenced for name in pair if name}
    svg = re.sub(r'\sid="([^"]+)"', lambda found: f' id="{prefix}-{found[1]}"' if found[1] in kept else "", svg)
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg).replace("url(#", f"url(#{prefix}-")
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ([^;\"]*?)px [^;\"]*", r"font-size: \1px", svg)  # the page's font, at the drawing's size
    for colour, word in _WORDS.items():
        svg = svg.replace(colour, word)
    return Markup(re.sub(r"\n\s*", "\n", svg))  # matplotlib escapes the labels


def _describe(title: str, series: Mapping[str, NDArray[np.float64]]) -> str:
    """The curves in words, for those who cannot see them."""
    ends: Sequence[str] = [f"{name} from {points[1, 0]:.4g} to {points[1, -1]:.4g}" for name, points in series.items()]
    return f"{title}: {'; '.join(ends) if ends else 'no values'}"

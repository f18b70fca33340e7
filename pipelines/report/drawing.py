"""Drawings inside the page: SVG whose text stays text and whose colours follow the page's, by day and by night."""

import hashlib
import io
import re
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

NUM_COLOURS = 6
MARKERS = ("o", "s", "D")
# Matplotlib draws in colours that nothing else has; they become the page's own.
INK = "#00fe01"
GRID = "#00fe02"
PAPER = "#00fe03"
_SERIES = [f"#00fd{number:02x}" for number in range(1, NUM_COLOURS + 1)]
_WORDS = {INK: "currentColor", GRID: "var(--line)", PAPER: "var(--paper)"}
_WORDS |= {colour: f"var(--series-{number})" for number, colour in enumerate(_SERIES, 1)}


def colour_of(number: int) -> str:
    """Colour of the series of that number, from 0; colours come round again."""
    return _SERIES[number % NUM_COLOURS]


def marker_of(number: int) -> str:
    """Marker of the series of that number: another one each time the colours have come round."""
    return MARKERS[number // NUM_COLOURS % len(MARKERS)]


def draw(values: object, size: tuple[float, float], paint: Callable[[Any], None]) -> Markup:
    """Let matplotlib paint, and take the drawing over into the page.

    Args:
        values: All that the drawing depends on; tells its ids from those of other drawings.
        size: Width and height, inches of 72 points.
        paint: Draws on the axes it is given, in colours of this module.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    salt = hashlib.sha256(repr(values).encode()).hexdigest()
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": salt[:12], "font.size": 9, "path.simplify_threshold": 0.5}
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        axes.tick_params(which="both", colors=INK, length=0)
        axes.grid(True, color=GRID, linewidth=0.8)
        axes.spines[:].set_visible(False)
        paint(axes)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _inline(buffer.getvalue(), salt[:8])


def label_axes(axes: Any, x_label: str, y_label: str) -> None:  # noqa: ANN401  # matplotlib is imported when it draws
    """Name both axes."""
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel(y_label, color=INK)


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

"""Curves, drawn by matplotlib into SVG."""

import io
import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from pipelines.report.page import render

Points = tuple[Sequence[float], Sequence[float]]

_COLOURS = ("#1f5fa8", "#c2571a", "#2c7a4b", "#7a4a9e", "#8a6d1a", "#4a4a4a")


def curve(series: Mapping[str, Points], title: str, x_label: str, y_label: str, log_scale: bool = False) -> Markup:
    """Lines over a common axis.

    Args:
        series: Steps and values by name.
        title: What is shown.
        x_label: Meaning and unit of the horizontal axis.
        y_label: Meaning and unit of the vertical axis.
        log_scale: Whether the vertical axis is logarithmic.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 2.9), layout="constrained")
    axes = figure.subplots()
    for number, (name, (steps, values)) in enumerate(series.items()):
        axes.plot(steps, values, label=name, color=_COLOURS[number % len(_COLOURS)], linewidth=1.4)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_yscale("log" if log_scale else "linear")
    axes.grid(visible=True, linewidth=0.4, alpha=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8)
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return render("curve.html", title=title, svg=_embeddable(buffer.getvalue(), title))


def _embeddable(svg: str, title: str) -> Markup:
    """The drawing without its XML prolog and links, and with names that stay apart on one page."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r' xmlns(:\w+)?="[^"]*"', "", body).replace("xlink:href", "href")
    suffix = format(abs(hash((title, len(body)))), "x")
    body = re.sub(r'id="([^"]+)"', rf'id="\1-{suffix}"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#\1-{suffix}"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#\1-{suffix})", body)
    return Markup(body)  # noqa: S704  # matplotlib's output, which escapes its texts

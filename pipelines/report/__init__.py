"""Building blocks of reports: one self-contained HTML file, used by training, evaluation and bulk runs.

    page = Page("slimdiffsr: training report", "trained on 9,000 images")
    page.section("Result", table(columns, rows), before_after(bicubic, sr, ("bicubic", "SlimDiffSR"), "a scene"))
    page.write(path)

Everything given as a string is escaped; there are no links to other files or hosts.
"""

from pipelines.report.bubbles import Axis, Bubble, bubbles
from pipelines.report.curve import curve
from pipelines.report.dots import DotRow, dots
from pipelines.report.estimate import Estimate
from pipelines.report.footprints import Footprint, FootprintState, footprints
from pipelines.report.histogram import histogram
from pipelines.report.page import Page
from pipelines.report.panels import panels
from pipelines.report.slider import before_after, side_by_side
from pipelines.report.table import Column, table
from pipelines.report.templates import Part
from pipelines.report.words import (
    KeyFigure,
    Level,
    beside,
    checks,
    facts,
    folded,
    heading,
    key_figures,
    listing,
    notice,
    prose,
)

__all__ = [
    "Axis",
    "Bubble",
    "Column",
    "DotRow",
    "Estimate",
    "Footprint",
    "FootprintState",
    "KeyFigure",
    "Level",
    "Page",
    "Part",
    "before_after",
    "beside",
    "bubbles",
    "checks",
    "curve",
    "dots",
    "facts",
    "folded",
    "footprints",
    "heading",
    "histogram",
    "key_figures",
    "listing",
    "notice",
    "panels",
    "prose",
    "side_by_side",
    "table",
]

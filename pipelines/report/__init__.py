"""Building blocks of reports: one self-contained HTML file, used by training, evaluation and bulk runs.

    page = Page("slimdiffsr: training report", "trained on 9,000 images")
    page.section("Result", table(columns, rows), before_after(bicubic, sr, ("bicubic", "SlimDiffSR"), "a scene"))
    page.write(path)

Everything given as a string is escaped; there are no links to other files or hosts.
"""

from pipelines.report.curve import curve
from pipelines.report.page import Page
from pipelines.report.panels import panels
from pipelines.report.slider import before_after
from pipelines.report.table import Column, table
from pipelines.report.templates import Part
from pipelines.report.words import KeyFigure, facts, key_figures, listing, notice, prose

__all__ = [
    "Column",
    "KeyFigure",
    "Page",
    "Part",
    "before_after",
    "curve",
    "facts",
    "key_figures",
    "listing",
    "notice",
    "panels",
    "prose",
    "table",
]

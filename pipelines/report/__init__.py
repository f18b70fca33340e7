"""Building blocks of self-contained HTML reports: one file, no network, used by training, evaluation and bulk runs."""

from pipelines.report.curve import curve
from pipelines.report.images import before_after, panels
from pipelines.report.page import Page
from pipelines.report.tables import Column, facts, table
from pipelines.report.text import notice, prose

__all__ = ["Column", "Page", "before_after", "curve", "facts", "notice", "panels", "prose", "table"]

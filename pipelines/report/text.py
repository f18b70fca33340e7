"""Paragraphs and notices."""

from typing import Literal

from markupsafe import Markup

from pipelines.report.page import render


def prose(text: str) -> Markup:
    """A paragraph of plain text."""
    return render("prose.html", text=text)


def notice(text: str, level: Literal["info", "good", "warning"] = "info") -> Markup:
    """A sentence that stands out."""
    return render("notice.html", text=text, level=level)

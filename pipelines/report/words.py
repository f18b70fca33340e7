"""Words and single values: headings, paragraphs, notices, checks, key figures, lists of facts, and listings."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from pipelines.report.table import Cell, cell_text
from pipelines.report.templates import Part, render

Level = Literal["info", "good", "warning", "error"]
_FACT_DIGITS = 4


@dataclass(frozen=True)
class KeyFigure:
    """A number that stands for a result.

    Args:
        value: As shown, with its unit.
        label: What it is.
        note: What to compare it with.
    """

    value: str
    label: str
    note: str = ""


def heading(text: str) -> Part:
    """A heading within a section."""
    return Markup("<h3>{}</h3>").format(text)


def prose(text: str) -> Part:
    """Paragraphs, separated by empty lines; words in backticks are set as code."""
    paragraphs = [_code_words(" ".join(part.split())) for part in re.split(r"\n\s*\n", text.strip()) if part.strip()]
    return Markup("\n").join(Markup("<p>{}</p>").format(paragraph) for paragraph in paragraphs)


def notice(text: str, level: Level = "info") -> Part:
    """A remark that must not be missed."""
    return render("notice", text=_code_words(text), level=level)


def checks(found: Sequence[tuple[Level, str]]) -> Part:
    """What was looked at, one a line, each marked as good or not; words in backticks are set as code."""
    return render("checks", found=[(level, _code_words(text)) for level, text in found])


def facts(values: Mapping[str, Cell]) -> Part:
    """Names and their values, one a line."""
    return render("facts", facts={name: cell_text(value, _FACT_DIGITS) for name, value in values.items()})


def key_figures(figures: Sequence[KeyFigure]) -> Part:
    """A row of large numbers."""
    return render("key_figures", figures=figures)


def listing(text: str, summary: str = "") -> Part:
    """Text as it is, e.g. a configuration; with a summary it is folded away until asked for."""
    return render("listing", text=text, summary=summary)


def folded(summary: str, *parts: Part) -> Part:
    """Parts that are folded away until asked for; on paper they are unfolded."""
    return render("folded", summary=summary, parts=parts)


def beside(*parts: Part) -> Part:
    """Parts side by side where there is room for it."""
    return Markup('<div class="beside">{}</div>').format(Markup("\n").join(parts))


def _code_words(text: str) -> Markup:
    pieces = re.split(r"`([^`]+)`", re.sub(r"(?<=\d) (?=%|dB)", "\N{NO-BREAK SPACE}", text))
    marked = [Markup("<code>{}</code>").format(piece) if i % 2 else escape(piece) for i, piece in enumerate(pieces)]
    return Markup("").join(marked)

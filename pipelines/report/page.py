"""One page in one file: no network, no other files, readable on screen and paper, by day and by night."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import rssr
from pipelines.report.templates import Part, render
from rssr.publish import write_aside


@dataclass(frozen=True)
class _Section:
    title: str
    anchor: str
    parts: tuple[Part, ...]


class Page:
    """A page of sections.

    Args:
        title: Heading.
        subtitle: One line below it: what, when, with what.
        footer: Last line; None tells when and with what the page was written.
    """

    def __init__(self, title: str, subtitle: str = "", footer: str | None = None) -> None:
        self._title = title
        self._subtitle = subtitle
        self._footer = _written() if footer is None else footer
        self._lead: list[Part] = []
        self._sections: list[_Section] = []

    def lead(self, *parts: Part) -> Self:
        """Add parts above the first section: what a hurried reader must see."""
        self._lead += parts
        return self

    def section(self, heading: str, *parts: Part) -> Self:
        """Add a section with its parts, in order."""
        slug = re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
        self._sections.append(_Section(heading, f"s{len(self._sections) + 1}-{slug}".rstrip("-"), parts))
        return self

    def to_html(self) -> str:
        """The whole page."""
        return str(
            render(
                "page",
                title=self._title,
                subtitle=self._subtitle,
                footer=self._footer,
                lead=self._lead,
                sections=self._sections,
            )
        )

    def write(self, path: Path) -> None:
        """Write the page; readers see the old file or the whole new one.

        Raises:
            StorageError: The file cannot be written.
        """
        html = self.to_html()
        with write_aside(path) as aside:
            aside.write_text(html, encoding="utf-8")


def _written() -> str:
    return f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by rssr {rssr.__version__}."

"""The page that parts are put on."""

from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined, select_autoescape
from markupsafe import Markup

from rssr.publish import write_aside

_TEMPLATES = "pipelines.report"


def render(template: str, **values: object) -> Markup:
    """Fill one of the package's templates; every value is escaped unless it is markup made by another part."""
    environment = Environment(
        autoescape=select_autoescape(default=True), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files(_TEMPLATES).joinpath("templates", template).read_text(encoding="utf-8")
    return Markup(environment.from_string(source).render(**values))  # noqa: S704  # escaped by jinja2 just now


class Page:
    """One report.

    Args:
        title: Heading and window title.
        subtitle: A line under it.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._title = title
        self._subtitle = subtitle
        self._sections: list[tuple[str, list[Markup]]] = []

    def section(self, heading: str, *parts: Markup) -> None:
        """Add a section of parts under a heading."""
        self._sections.append((heading, list(parts)))

    def to_html(self) -> str:
        """The whole document."""
        style = resources.files(_TEMPLATES).joinpath("templates", "style.css").read_text(encoding="utf-8")
        script = resources.files(_TEMPLATES).joinpath("templates", "slider.js").read_text(encoding="utf-8")
        return render(
            "page.html",
            title=self._title,
            subtitle=self._subtitle,
            sections=self._sections,
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            style=Markup(style),  # noqa: S704  # our own file
            script=Markup(script),  # noqa: S704  # our own file
        )

    def write(self, path: Path) -> None:
        """Write the document; an interrupted write leaves nothing at `path`."""
        with write_aside(path) as aside:
            aside.write_text(self.to_html(), encoding="utf-8")

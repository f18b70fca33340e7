"""The report's HTML templates, which escape whatever they are given."""

import functools
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

# Safe HTML of one part of a page; what the functions of this package return and `Page.section` takes.
Part = Markup


def render(name: str, **values: Any) -> Part:  # noqa: ANN401  # templates take whatever they show
    """Fill in the template `name`.html; strings are escaped, parts are not escaped again."""
    return Markup(_environment().get_template(f"{name}.html").render(**values))  # escaped by Jinja


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("pipelines.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

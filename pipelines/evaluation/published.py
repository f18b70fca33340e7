"""Figures of the papers' tables, as data: what was published, where it stands, and nothing else.

A table has the rows and columns of the paper. A figure that the paper's documents do not give is blank, never made up.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from pipelines.evaluation.pairing import POOLED
from pipelines.evaluation.result import PublishedCell
from rssr.configuration import Config, load_config
from rssr.errors import ConfigError

SECONDS = "seconds"
"""Column of the time for one image, seconds."""
PARAMETERS = "parameters_m"
"""Column of the number of parameters, millions."""

_FOLDER = Path(__file__).with_name("papers")


class _Row(Config):
    """A method's figures."""

    method: str
    """As the paper writes it; its own method by name."""
    category: str = ""
    """As the paper sorts it."""
    values: tuple[float | None, ...]
    """One a column; null where the paper's documents give none."""


class _Block(Config):
    """Rows of one dataset and scale."""

    dataset: str = POOLED
    """Name of the dataset in our presets; by default the mean over all of them."""
    scale: float
    """HR/LR size ratio."""
    source: str
    """Document and table."""
    rows: tuple[_Row, ...] = Field(min_length=1)
    """Methods in the order of the paper."""


class _PublishedFile(Config):
    """A table as it lies in a file."""

    title: str
    """What it shows."""
    date: str
    """Of the document."""
    hardware: str
    """On which times were taken, and of what; empty where that is not stated."""
    notes: str = ""
    """What a reader has to know to compare."""
    columns: tuple[str, ...] = Field(min_length=1)
    """Metrics by name, `seconds` and `parameters_m` in the order of the paper."""
    blocks: tuple[_Block, ...] = Field(min_length=1)
    """Datasets and scales in the order of the paper."""

    @model_validator(mode="after")
    def _as_wide_as_its_columns(self) -> Self:
        for block in self.blocks:
            for row in block.rows:
                if len(row.values) != len(self.columns):
                    raise ValueError(f"{row.method} has {len(row.values)} values for {len(self.columns)} columns")
        return self


@dataclass(frozen=True)
class PublishedTable:
    """A table of a paper.

    Attributes:
        name: As configured, e.g. `slimdiffsr/table2`.
        title: What it shows.
        date: Of the document, e.g. 2026-05-17.
        hardware: On which times were taken, and of what; empty where that is not stated.
        notes: What a reader has to know to compare.
        columns: Metrics by name, `SECONDS` and `PARAMETERS` in the order of the paper.
        methods: Rows in the order of the paper, blank ones included.
        categories: Of each method, as the paper sorts it; empty where it does not.
        places: Datasets, `POOLED` for the mean over all, and scales in the order of the paper.
        sources: Document and table of each place.
        cells: All figures that there are, in order.
    """

    name: str
    title: str
    date: str
    hardware: str
    notes: str
    columns: tuple[str, ...]
    methods: tuple[str, ...]
    categories: tuple[str, ...]
    places: tuple[tuple[str, float], ...]
    sources: tuple[str, ...]
    cells: tuple[PublishedCell, ...]

    def value(self, place: tuple[str, float], method: str, column: str) -> float:
        """A figure; NaN where it is blank."""
        key = (*place, method, column)
        return next((c.value for c in self.cells if (c.dataset, c.scale, c.method, c.metric) == key), math.nan)


def load_published(name: str) -> tuple[PublishedCell, ...]:
    """The figures of a table; see `load_table`."""
    return load_table(name).cells


def load_table(name: str) -> PublishedTable:
    """A table of a paper.

    Args:
        name: One of `table_names()`.

    Raises:
        ConfigError: There is no such table; names those there are.
    """
    if name not in table_names():
        raise ConfigError(f"There is no published table '{name}'.", f"Choose from: {', '.join(table_names())}.")
    held = load_config(_PublishedFile, _FOLDER / f"{name}.yaml")
    categories = {row.method: row.category for block in held.blocks for row in block.rows}
    return PublishedTable(
        name=name,
        title=held.title,
        date=held.date,
        hardware=held.hardware,
        notes=held.notes,
        columns=held.columns,
        methods=tuple(categories),
        categories=tuple(categories.values()),
        places=tuple((block.dataset, block.scale) for block in held.blocks),
        sources=tuple(block.source for block in held.blocks),
        cells=tuple(cell for block in held.blocks for cell in _cells(block, held.columns)),
    )


def table_names() -> tuple[str, ...]:
    """Names of all tables, e.g. `slimdiffsr/table2`."""
    return tuple(sorted(path.relative_to(_FOLDER).with_suffix("").as_posix() for path in _FOLDER.rglob("*.yaml")))


def _cells(block: _Block, columns: tuple[str, ...]) -> list[PublishedCell]:
    return [
        PublishedCell(row.method, block.dataset, block.scale, column, value, block.source)
        for row in block.rows
        for column, value in zip(columns, row.values, strict=True)
        if value is not None
    ]

"""A sweep's figures as tables of the paper's shape, for the terminal and the report."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pipelines.experiment.sweep_rows import SweepRow
from pipelines.report import Column, Part, table
from pipelines.report.table import Cell, cell_text
from rssr.plain_table import format_table

_COLUMNS = (
    Column("title", "Method"),
    Column("psnr_y_db", "PSNR-Y, dB", "highest", 2),
    Column("ssim_y", "SSIM-Y", "highest", 4),
    Column("difference", "Difference, dB", None, 3),
    Column("low", "95 % from", None, 3),
    Column("high", "to", None, 3),
    Column("seconds", "Time, s", "lowest", 3),
    Column("millions", "Params, M", "lowest", 2),
    Column("paper_millions", "Paper, M", None, 2),
    Column("gigamacs", "MACs, G", "lowest", 2),
)


@dataclass(frozen=True)
class SweepTable:
    """The shape of one table.

    Attributes:
        name: As in the paper.
        subject: What is varied.
        titles: The row's title by variant, in order; the reference last.
    """

    name: str
    subject: str
    titles: Mapping[str, str]

    def varies(self, names: Collection[str]) -> bool:
        """Whether any of these but the reference has a row here."""
        *varied, _ = self.titles
        return any(name in names for name in varied)


@dataclass(frozen=True)
class FilledTable:
    """One table at one scale.

    Attributes:
        heading: What it shows.
        sample: On how many images at which scale.
        scale: HR/LR ratio.
        entries: Title and figures of each row; None where the variant failed.
    """

    heading: str
    sample: str
    scale: float
    entries: tuple[tuple[str, SweepRow | None], ...]

    @property
    def models(self) -> dict[str, str]:
        """Titles by the model's name in the evaluation."""
        return {row.model: title for title, row in self.entries if row is not None}

    def to_report(self) -> Part:
        """As a part of a report."""
        return table(_COLUMNS, self._cells(), self.sample)

    def to_text(self) -> str:
        """As plain text for a terminal."""
        body = [[cell_text(row.get(column.name), column.digits) for column in _COLUMNS] for row in self._cells()]
        lines = format_table([[column.title for column in _COLUMNS], *body], right=range(1, len(_COLUMNS)))
        return f"{self.heading}; {self.sample}\n{lines}"

    def _cells(self) -> list[dict[str, Cell]]:
        return [{"title": title, **_figures(row)} for title, row in self.entries]


def fill_tables(shapes: Sequence[SweepTable], rows: Sequence[SweepRow], failures: Collection[str]) -> list[FilledTable]:
    """Every table that the sweep has a varied row for, scale by scale.

    Students come in the paper's order, then their teachers where variants differ in them. A variant that failed has a
    row that says so; one that was not asked for has none.

    Args:
        shapes: The paper's tables.
        rows: Of all models that were measured.
        failures: Names of the variants that failed.
    """
    asked = {row.variant for row in rows} | set(failures)
    scales = sorted({row.scale for row in rows})
    return [
        _filled(shape, [row for row in rows if row.scale == scale], failures)
        for shape in shapes
        if shape.varies(asked)
        for scale in scales
    ]


def _filled(shape: SweepTable, rows: Sequence[SweepRow], failures: Collection[str]) -> FilledTable:
    students = {row.variant: row for row in rows if not row.is_teacher}
    teachers = {row.variant: row for row in rows if row.is_teacher}
    entries: list[tuple[str, SweepRow | None]] = [
        (title, students.get(name)) for name, title in shape.titles.items() if name in students or name in failures
    ]
    if shape.varies(teachers):
        entries += [(f"{title}, teacher", teachers[name]) for name, title in shape.titles.items() if name in teachers]
    num_images = max(row.num_images for row in rows)
    sample = f"{num_images} held-out images at scale {rows[0].scale:g}"
    return FilledTable(f"{shape.name}: {shape.subject}", sample, rows[0].scale, tuple(entries))


def _figures(row: SweepRow | None) -> dict[str, Cell]:
    if row is None:
        return {_COLUMNS[1].name: "failed"}
    cost, difference = row.cost, row.differences.get("psnr_y_db")
    return {
        **row.means,
        "difference": difference.mean if difference else None,
        "low": difference.low if difference else None,
        "high": difference.high if difference else None,
        "seconds": cost.seconds if cost else None,
        "millions": cost.num_parameters / 1e6 if cost else None,
        "paper_millions": row.paper_millions,
        "gigamacs": cost.macs / 1e9 if cost else None,
    }

"""Tables as plain text, for terminals and logs."""

from collections.abc import Collection, Sequence


def format_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Align columns, two spaces apart.

    Args:
        rows: Cells; the first row is the header. All rows have as many cells.
        right: Numbers of the columns whose cells end at the same place, as figures do.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )

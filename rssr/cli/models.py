"""`rssr models`: which models there are, how large they are, and whether their weights are here."""

import argparse
import json
import sys
from dataclasses import asdict, dataclass

NAME = "models"
HELP = "List all models: parameters that run, the published count and why it differs, scales, weights found or not."


@dataclass(frozen=True)
class ModelLine:
    """One model in the list.

    Attributes:
        name: Model name.
        summary: What it is.
        live_parameters: Parameters that a forward pass reads; None where the model needs files to be built.
        published_parameters: What the paper's figure counts; None where there is no such figure.
        difference: Published minus live.
        difference_parts: The difference by cause.
        scale_range: Smallest and largest published scale.
        weights: Folder of the weights; empty where none are found; None where none are needed.
    """

    name: str
    summary: str
    live_parameters: int | None
    published_parameters: int | None
    difference: int | None
    difference_parts: dict[str, int]
    scale_range: tuple[float, float] | None
    weights: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON, with the causes of every difference")


def run(arguments: argparse.Namespace) -> int:
    """Print the list."""
    lines = collect()
    sys.stdout.write(
        (json.dumps([asdict(line) for line in lines], indent=2) if arguments.json else table(lines)) + "\n"
    )
    return 0


def collect() -> list[ModelLine]:
    """Look every model up."""
    from rssr.models.registry import list_models

    return [_look_up(name) for name in list_models()]


def table(lines: list[ModelLine]) -> str:
    """The list as aligned text."""
    rows = [("NAME", "LIVE", "PUBLISHED", "DIFFERENCE", "SCALES", "WEIGHTS", "")]
    rows += [
        (
            line.name,
            _count(line.live_parameters),
            _count(line.published_parameters),
            _count(line.difference),
            _scales(line),
            "not needed" if line.weights is None else line.weights or "not found",
            line.summary,
        )
        for line in lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    numeric = {1, 2, 3}
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in numeric else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _look_up(name: str) -> ModelLine:
    from rssr.errors import ModelError
    from rssr.models.loaded import models_folder
    from rssr.models.registry import count_parameters, model_entry
    from rssr.weights.folder import is_model_folder

    entry = model_entry(name)
    try:
        count = count_parameters(name)
        live, published, difference, parts = count.live, count.published, count.difference, dict(count.parts)
    except ModelError:  # built from files alone, e.g. the teacher
        live, published, difference, parts = None, None, None, {}
    folder = models_folder() / name
    weights = str(folder) if is_model_folder(folder) else ""
    return ModelLine(
        name=name,
        summary=entry.summary,
        live_parameters=live,
        published_parameters=published,
        difference=difference,
        difference_parts=parts,
        scale_range=entry.scale_range,
        weights=weights if entry.method else None,
    )


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _scales(line: ModelLine) -> str:
    if line.scale_range is not None:
        return f"{line.scale_range[0]:g} to {line.scale_range[1]:g}"
    return "any" if line.weights is None else "-"

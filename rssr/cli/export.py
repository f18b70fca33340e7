"""`rssr export`: write a model's network as a file that runs without rssr."""

import argparse
import sys
from pathlib import Path

NAME = "export"
HELP = "Write a model's network as ONNX or as a torch.export program, checked against the network itself."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", metavar="MODEL", help="name (see `rssr models`), model folder or URI")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="ends .onnx or .pt2")
    parser.add_argument("--size", type=int, default=256, help="side of the largest image checked, pixels (default 256)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output")


def run(arguments: argparse.Namespace) -> int:
    """Export, and say what the file takes."""
    from rssr.errors import DataError
    from rssr.models.export import MIN_STRIDES, export_model
    from rssr.models.loaded import load_model

    if arguments.output.exists() and not arguments.overwrite:
        raise DataError(f"{arguments.output} exists.", "Choose another output, or add --overwrite.")
    report = export_model(load_model(arguments.model), arguments.output, arguments.size)
    sys.stdout.write(
        f"{report.path}: {report.num_bytes / 1e6:.1f} MB, any number of images, sides multiples of {report.stride} "
        f"from {MIN_STRIDES * report.stride} pixels; off by at most {report.difference:.1g}\n"
    )
    return 0

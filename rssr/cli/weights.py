"""`rssr weights`: bring published checkpoints in as model folders."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rssr.weights.official import ImportReport

NAME = "weights"
HELP = "Import a published checkpoint as a model folder: weights, configuration and card."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their arguments."""
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION", dest="action")
    action = actions.add_parser("import", help=HELP, description=f"{HELP} Code inside the file is never run.")
    action.add_argument("--format", required=True, metavar="FORMAT", help="whose layout the file has, e.g. slimdiffsr")
    action.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="checkpoint, e.g. net_params_4x.pkl; or safetensors; for ldcsr and lcmsr FIRST.ckpt SECOND.ckpt, or "
        "SECOND.ckpt alone where the first stage travels in it",
    )
    action.add_argument("folder", type=Path, metavar="OUT", help="model folder to write, for `rssr sr --model OUT`")
    _add_options(action)
    # Also after the action; left alone there, it is as the command has it.
    action.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks")


def _add_options(action: argparse.ArgumentParser) -> None:
    """What the files do not tell."""
    action.add_argument(
        "--norm-num-groups",
        type=int,
        default=32,
        metavar="N",
        help="groups of every GroupNorm, which the file does not tell (default 32, as published)",
    )
    action.add_argument(
        "--head-channels",
        type=int,
        default=32,
        metavar="N",
        help="ldcsr, lcmsr: width of an attention head, which the file does not tell (default 32, as published)",
    )
    action.add_argument(
        "--prediction",
        choices=("noise", "sample"),
        help="ldcsr, lcmsr: what the denoiser predicts, which the file does not tell (default: noise, but sample for "
        "lcmsr with a fixed scale, as published)",
    )
    action.add_argument(
        "--raw-weights",
        action="store_true",
        help="ldcsr, lcmsr: the denoiser's weights as trained, instead of their moving average",
    )


def run(arguments: argparse.Namespace) -> int:
    """Import, and say what was taken and what was left out."""
    from rssr.errors import StorageError
    from rssr.weights.official import ImportOptions, import_official

    options = ImportOptions(
        norm_num_groups=arguments.norm_num_groups,
        head_channels=arguments.head_channels,
        prediction=arguments.prediction,
        raw_weights=arguments.raw_weights,
    )
    try:
        report = import_official(arguments.format, arguments.files, arguments.folder, options)
    except OSError as error:
        place = error.filename or arguments.folder
        raise StorageError(f"{place}: {error.strerror or error}.", "Check both paths and the free space.") from None
    sys.stdout.write(_in_words(report) + "\n")
    return 0


def _in_words(report: "ImportReport") -> str:
    names = [f"{group.what}: tensors {group.num_tensors:,}, values {group.num_values:,}" for group in report.groups]
    lines = [
        *(f"{source.path}: {report.model}, SHA-256 {source.sha256}" for source in report.sources),
        f"taken: {report.num_tensors:,} tensors, {report.num_parameters:,} parameters",
        f"left out: {len(report.unused):,} tensors, {report.num_unused_parameters:,} parameters"
        + (", which no forward pass reads:" if report.unused else ""),
        *(f"  {name}" for name in names or report.unused),
        f"written: {report.folder}",
    ]
    return "\n".join(lines)

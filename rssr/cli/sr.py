"""`rssr sr`: super-resolve one picture or scene."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rssr.inference.scene import SceneReport
    from rssr.models.loaded import LoadedModel
    from rssr.raster import CogOptions
    from rssr.stretch import StretchConfig

NAME = "sr"
HELP = "Super-resolve a picture (PNG, JPEG ...) or a georeferenced scene (GeoTIFF, JPEG 2000)."

_BESIDE_OUTPUT = Path("-")  # no file can be meant by it: an option without a value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="GeoTIFF, JPEG 2000, VRT or picture")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="ends .tif, .tiff, .png, .jpg or .jpeg")
    parser.add_argument("--model", required=True, help="name (see `rssr models`), model folder or URI")
    parser.add_argument("--scale", type=float, default=4.0, help="enlargement of each side (default 4)")
    _add_running(parser)
    _add_layers(parser)
    _add_values(parser)
    _add_files(parser)


def _add_files(parser: argparse.ArgumentParser) -> None:
    """How files are written."""
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    parser.add_argument(
        "--compression",
        choices=("zstd", "deflate"),
        default="zstd",
        help="of GeoTIFFs: zstd is read by GDAL since 2.3 and QGIS (default), deflate by everything",
    )
    parser.add_argument(
        "--compression-level",
        type=int,
        metavar="N",
        help="1 is fast, more makes files smaller: zstd up to 22 (default 1), deflate up to 9 (default 6)",
    )


def _add_running(parser: argparse.ArgumentParser) -> None:
    """How the model runs."""
    parser.add_argument("--device", help="e.g. cpu or cuda (default: an accelerator if there is one)")
    parser.add_argument("--tile-size", type=int, help="side of a tile in input pixels (default: the model's)")
    parser.add_argument("--halo", type=int, help="context on each side of a tile, input pixels (default: the model's)")
    parser.add_argument(
        "--color-match",
        choices=("none", "scene", "local", "authors"),
        help="match colours to the input: not; means and deviations once for the scene; whatever varies slowly, place "
        "by place; means and deviations a tile at a time (default: the model's)",
    )
    parser.add_argument(
        "--batch-size", type=int, default=4, help="tiles at a time on an accelerator (default 4); the CPU takes one"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="for models that draw noise: same seed, same image (default 0)"
    )
    parser.add_argument(
        "--num-samples",
        type=int,
        metavar="N",
        help="for models that draw noise: average N results; they also tell the uncertainty (default 1, or 8 with "
        "--uncertainty)",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="run a student, LDCSR or LCMSR at reduced precision where the hardware has it: faster, a student a few "
        "times; values differ by about one level of 256",
    )


def _add_layers(parser: argparse.ArgumentParser) -> None:
    """What is written beside the output."""
    parser.add_argument(
        "--uncertainty",
        nargs="?",
        type=Path,
        const=_BESIDE_OUTPUT,
        metavar="FILE",
        help="also write how far each pixel and band may be off, in the input's units, as a GeoTIFF: FILE, or "
        "OUTPUT's name with _uncertainty.tif (the model must have a deviation head, or draw samples)",
    )
    parser.add_argument(
        "--consistency",
        nargs="?",
        type=Path,
        const=_BESIDE_OUTPUT,
        metavar="FILE",
        help="also write how far the result, taken back to the input's grid, is from the input, in its units, as a "
        "GeoTIFF: FILE, or OUTPUT's name with _consistency.tif",
    )


def _add_values(parser: argparse.ArgumentParser) -> None:
    """What values mean and keep."""
    parser.add_argument(
        "--project",
        action="store_true",
        help="change the result, smoothly, so that its mean over each input pixel is that pixel: indices such as NDVI "
        "keep",
    )
    parser.add_argument(
        "--other-bands",
        action="store_true",
        help="also write the bands that the model does not take: enlarged bicubically and projected, as the output's "
        "tags say",
    )
    parser.add_argument(
        "--stretch",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="values that a model of pictures sees as black and white, where the input is of another type than its "
        "training images: reflectance if the file declares scale and offset, else stored numbers",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run it and say what came out."""
    if arguments.fast:
        # Large pages for large tensors: PyTorch reads this once, when it first allocates.
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from rssr.allocator import keep_freed_memory
    from rssr.inference import super_resolve_scene

    keep_freed_memory()
    started = time.monotonic()
    uncertainty, consistency = (_beside(arguments, name) for name in ("uncertainty", "consistency"))
    with _progress_bar() as progress:
        report = super_resolve_scene(
            arguments.input,
            arguments.output,
            _fast(arguments) if arguments.fast else arguments.model,
            arguments.scale,
            device=arguments.device,
            tile_size=arguments.tile_size,
            halo=arguments.halo,
            color_match=arguments.color_match,
            batch_size=arguments.batch_size,
            overwrite=arguments.overwrite,
            uncertainty_path=uncertainty,
            consistency_path=consistency,
            project=arguments.project,
            other_bands=arguments.other_bands,
            stretch=_stretch(arguments),
            seed=arguments.seed,
            num_samples=arguments.num_samples,
            compression=_compression(arguments),
            progress=progress,
        )
    _tell(arguments.output, report, time.monotonic() - started)
    if uncertainty is not None:
        sys.stdout.write(f"{uncertainty}: expected deviation of every pixel and band\n")
    if consistency is not None:
        sys.stdout.write(f"{consistency}: error on the input's grid\n")
    return 0


def _beside(arguments: argparse.Namespace, name: str) -> Path | None:
    """The file of a layer beside the output."""
    given: Path | None = getattr(arguments, name)
    if given != _BESIDE_OUTPUT:
        return given
    output: Path = arguments.output
    return output.with_name(f"{output.stem}_{name}.tif")


def _compression(arguments: argparse.Namespace) -> "CogOptions":
    from rssr.raster import CogOptions

    usual = {"zstd": 1, "deflate": 6}[arguments.compression]
    level = usual if arguments.compression_level is None else arguments.compression_level
    return CogOptions(arguments.compression, level)


def _stretch(arguments: argparse.Namespace) -> "StretchConfig | None":
    from rssr.errors import ConfigError
    from rssr.stretch import StretchConfig

    if arguments.stretch is None:
        return None
    low, high = arguments.stretch
    if not low < high:
        raise ConfigError(f"--stretch goes from {low:g} to {high:g}.", "Give the smaller value first.")
    return StretchConfig(low=low, high=high)


def _tell(output: Path, report: "SceneReport", seconds: float) -> None:
    (height, width), (sr_height, sr_width) = report.lr_size, report.sr_size
    holes = "" if report.valid_share == 1 else f", {1 - report.valid_share:.1%} without data"
    seams = "" if report.num_tiles == 1 else f", seam score {report.seam_score:.2f}"
    smaller = f" ({report.num_smaller_tiles} put together from smaller ones)" if report.num_smaller_tiles else ""
    tiles = f"{report.num_tiles} tiles{smaller}{holes}{seams}"
    sys.stdout.write(f"{output}: {width}x{height} to {sr_width}x{sr_height} pixels, {tiles}, {seconds:.1f} s\n")


def _fast(arguments: argparse.Namespace) -> "LoadedModel":
    """The model's fast copy, where it shall run."""
    from rssr.inference.chosen_model import resolve_model
    from rssr.models.fast import fast_model

    return fast_model(resolve_model(arguments.model, arguments.device))


@contextmanager
def _progress_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda finished, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=None)
        yield lambda finished, total: bar.update(task, completed=finished, total=total)

"""From a file to a file: GeoTIFF scenes of any size, and ordinary pictures."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from rssr.inference.chosen_model import check_deviation, check_scale, resolve_model
from rssr.inference.files import SceneFiles, open_scene
from rssr.inference.options import SamplingArguments, SceneOptions, TilingArguments, TilingOptions
from rssr.inference.planning import plan_draws
from rssr.inference.products import SideProducts
from rssr.inference.reflectance import bands_for
from rssr.inference.scene import SceneReport, SceneRun
from rssr.metrics.seams import SEAM_LIMIT
from rssr.models.loaded import LoadedModel
from rssr.raster import CogOptions
from rssr.stretch import StretchConfig

if TYPE_CHECKING:  # `bicubic` runs without PyTorch
    import torch

_log = logging.getLogger(__name__)


class SceneArguments(SamplingArguments, total=False):
    """How a scene is run: the fields of `TilingOptions`, those of `SamplingArguments`, and these.

    Attributes:
        device: Where to run. None: where the model is, or an accelerator if there is one.
        overwrite: Whether existing outputs are replaced.
        uncertainty_path: GeoTIFF for how far each pixel and band may be off: the half-width that holds 68 % of errors,
            float32 in the scene's own stored units, e.g. grey levels; NaN where there is no data. None for none.
        consistency_path: GeoTIFF on the scene's own grid for how far SR, taken back to it, is from the scene: mean over
            the model's bands of the absolute error, float32 in stored units; NaN where it cannot be told. None for
            none.
        project: Whether SR's mean over each LR pixel is made that pixel; see `rssr.projection`.
        other_bands: Whether the product also has the bands that the model does not take: enlarged bicubically, and
            projected. Its tags say which these are.
        stretch: Physical values (stored * scale + offset, as far as the file declares these) that a model of pictures
            sees as black and white, for scenes of another type than its own.
        compression: Of GeoTIFFs; None: zstd, level 1.
        tags: What GeoTIFFs shall say beside what they always do.
        progress: Called with the number of finished SR rows and of all.
    """

    device: "str | torch.device | None"
    overwrite: bool
    uncertainty_path: Path | str | None
    consistency_path: Path | str | None
    project: bool
    other_bands: bool
    stretch: StretchConfig | None
    compression: CogOptions | None
    tags: Mapping[str, str]
    progress: Callable[[int, int], None]


def super_resolve_scene(
    input_path: Path | str,
    output_path: Path | str,
    model: LoadedModel | str | Path,
    scale: float,
    **arguments: Unpack[SceneArguments],
) -> SceneReport:
    """Super-resolve a file into a file that appears whole or not at all.

    A raster becomes a Cloud Optimized GeoTIFF that keeps its CRS, ground, data type, scaling, nodata number and mask;
    memory holds one row of tiles (with `color_match` scene all of a scene of up to 64 tiles). PNG and JPEG come out of
    pictures and of 8-bit rasters without holes.

    Args:
        input_path: GeoTIFF, JPEG 2000, VRT or picture; or a Sentinel-2 product, a SAFE folder or STAC item, which gives
            reflectance in float32.
        output_path: Ends .tif, .tiff, .png, .jpg or .jpeg.
        model: A loaded model, a name such as `bicubic`, a model folder or a URI.
        scale: Enlargement of each side; the size is rounded to whole pixels.
        **arguments: See `SceneArguments`.

    Raises:
        DataError: There is no input, or the output exists or is the input.
        RasterError: The raster cannot be read or written.
        ImageError: The picture cannot be read, or the output cannot be a picture.
        ModelError: The model does not fit the bands, the type, the values or the scale, or gives no uncertainty.
    """
    uncertainty, consistency = arguments.pop("uncertainty_path", None), arguments.pop("consistency_path", None)
    beside = SideProducts(_path(uncertainty), _path(consistency))
    files = SceneFiles(Path(input_path), Path(output_path), arguments.pop("overwrite", False), beside)
    progress = arguments.pop("progress", _no_progress)
    device = arguments.pop("device", None)
    compression, tags = arguments.pop("compression", None), arguments.pop("tags", {})
    files.check()
    loaded = resolve_model(model, device)
    check_scale(loaded, scale)
    options = _options(loaded, arguments, with_deviation=beside.deviation is not None)
    with open_scene(files.source, bands_for(loaded, others=options.other_bands)) as reader:
        run = SceneRun.prepare(reader, loaded, scale, options, str(files.source))
        run.write(files, progress, compression=compression, tags=tags)
        report = run.report()
    _warn_of_seams(report, files.target)
    return report


def _warn_of_seams(report: SceneReport, target: Path) -> None:
    if report.seam_score > SEAM_LIMIT:
        _log.warning(
            "Tiles show in %s: its seam score is %.2f, and should be %.2f at most. Wider halos (halo=...) or matching "
            "colours (color_match=local) help.",
            target,
            report.seam_score,
            SEAM_LIMIT,
        )


def _options(model: LoadedModel, arguments: SceneArguments, *, with_deviation: bool) -> SceneOptions:
    """What is left of the arguments after files, device and progress."""
    if with_deviation:
        check_deviation(model)
    seed, num_samples = arguments.pop("seed", 0), arguments.pop("num_samples", None)
    draws = plan_draws(model, seed, num_samples, with_deviation=with_deviation)
    project, other_bands = arguments.pop("project", False), arguments.pop("other_bands", False)
    stretch = arguments.pop("stretch", None)
    tiling: TilingArguments = {**arguments}  # type: ignore[typeddict-unknown-key]  # what is left after the pops above
    return SceneOptions(TilingOptions(**tiling), draws, with_deviation, project, other_bands, stretch)


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)


def _no_progress(finished_rows: int, num_rows: int) -> None:
    pass

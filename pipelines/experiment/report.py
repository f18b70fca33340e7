"""The report of a training run."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.comparison import Evaluation
from pipelines.experiment.comparison_parts import comparison, example_panels, headline, in_words
from pipelines.experiment.figures import make_figures
from pipelines.experiment.provenance import images, provenance
from pipelines.experiment.tile_scene import LEAST_DB
from pipelines.experiment.training import Plan
from pipelines.experiment.uncertainty import MeasuredUncertainty, uncertainty_parts
from pipelines.phase_records import PhaseRecord
from pipelines.report import (
    Column,
    KeyFigure,
    Page,
    Part,
    before_after,
    curve,
    panels,
    prose,
    table,
)
from pipelines.stages.stretch import display_order
from rssr.card import TileDependence
from rssr.images import RgbImage, decode_image
from rssr.inference import super_resolve
from rssr.inference.files import is_product, open_scene
from rssr.inference.tile_dependence import LARGE_TILE, SMALL_TILE
from rssr.metrics.seams import SEAM_LIMIT
from rssr.models.loaded import load_model
from rssr.raster import read_raster

_MAX_POINTS = 150  # of a curve


@dataclass
class ReportInputs:
    """What a run has to show; parts that were not run stay None."""

    plan: Plan
    records: Mapping[str, PhaseRecord]
    tracking_uri: str
    run_id: str
    evaluation: Evaluation | None = None
    model_uri: str | None = None
    lr_scene: Path | None = None
    product: Path | None = None
    uncertainty: MeasuredUncertainty | None = None
    tile_dependence: TileDependence | None = None


def write_report(inputs: ReportInputs, path: Path) -> None:
    """Write the report as one self-contained HTML file."""
    method = inputs.plan.method
    page = Page(f"{method.name}: training report", f"{inputs.plan.config.registry.name}, MLflow run {inputs.run_id}")
    if inputs.evaluation is not None:
        page.lead(_lead(inputs, inputs.evaluation))
        page.section("Result", *_result(inputs, inputs.evaluation))
    if inputs.lr_scene is not None and inputs.product is not None:
        page.section("Super-resolved scene", *_scene(inputs.lr_scene, inputs.product), *_tiles(inputs.tile_dependence))
    if inputs.evaluation is not None:
        page.section("Held-out images", example_panels(inputs.evaluation.examples, inputs.evaluation.scales))
    if inputs.uncertainty is not None:
        page.section("Uncertainty", *uncertainty_parts(inputs.uncertainty))
    for figure in make_figures(inputs.plan, inputs.records):
        rows = [(row.label, row.pictures) for row in figure.rows]
        page.section(figure.title, prose(figure.text), panels(rows))
    for phase, record in inputs.records.items():
        page.section(f"Phase {phase}", *_phase(inputs.plan, phase, record))
    page.section("Images", *images(inputs.plan))
    page.section("Configuration and versions", *provenance(inputs.plan, inputs.tracking_uri, inputs.run_id))
    page.write(path)


def _lead(inputs: ReportInputs, evaluation: Evaluation) -> Part:
    num_steps = sum(record.num_steps for record in inputs.records.values())
    others = [
        KeyFigure(f"{num_steps:,}", "optimizer steps", f"in {len(inputs.records)} phases"),
        KeyFigure(f"{len(inputs.plan.manifest.split('train')):,}", "training images"),
    ]
    return headline(evaluation, inputs.plan.config, others)


def _result(inputs: ReportInputs, evaluation: Evaluation) -> Iterable[Part]:
    yield from comparison(evaluation, inputs.plan.config)
    if inputs.model_uri is not None:
        yield prose(f"Registered as {inputs.model_uri}.")


def _scene(lr_scene: Path, product: Path) -> Iterable[Part]:
    lr, sr = _rgb(lr_scene), _rgb(product)
    scale = sr.shape[0] / lr.shape[0]
    bicubic = np.moveaxis(super_resolve(np.moveaxis(lr, -1, 0), load_model("bicubic"), scale), 0, -1)
    bicubic = bicubic[: sr.shape[0], : sr.shape[1]]
    yield before_after(
        np.ascontiguousarray(bicubic),
        sr,
        ("bicubic", "super-resolved"),
        f"{product.name}: {lr.shape[1]} by {lr.shape[0]} to {sr.shape[1]} by {sr.shape[0]} pixels. "
        "The detail is plausible, not measured.",
    )


def _tiles(measured: TileDependence | None) -> Iterable[Part]:
    """Whether it matters how scenes are cut."""
    if measured is None or measured.psnr_db is None or measured.seam_score is None:
        return
    yield prose(
        f"Larger scenes are cut into tiles. Results with tiles of {SMALL_TILE} and of {LARGE_TILE} LR pixels agree to "
        f"{measured.psnr_db:.1f} dB ({LEAST_DB:g} are wanted), and the seam score of the smaller ones is "
        f"{measured.seam_score:.3f} (1 where tiles do not show, {SEAM_LIMIT:g} at most)."
    )


def _phase(plan: Plan, phase: str, record: PhaseRecord) -> Iterable[Part]:
    yield table(
        [Column("metric", "Held-out metric"), Column("value", "Value", digits=4)],
        [{"metric": name, "value": value} for name, value in record.validation.items()],
    )
    losses = sorted({name for row in record.losses for name in row if name.startswith("loss/")})
    for name in losses:
        steps, values = _series(record.losses, name)
        title = f"{name.removeprefix('loss/')} loss"
        yield curve({name: (steps, values)}, title, "step", "loss", log_scale=min(values, default=0.0) > 0)
    metrics = [name for name in record.validation if name.endswith("_db")]
    if metrics and len(record.validations) > 1:
        series = {name.removesuffix("_db"): _series(record.validations, name) for name in metrics}
        yield curve(series, "Held-out patches", "step", "PSNR, dB")
    picture = decode_image(plan.folder(phase).store.read_bytes("panels.png"), "panels.png").pixels
    scales = plan.config.data.test_scales
    patches = "held-out patches" if len(scales) == 1 else f"held-out patches, the same at {in_words(scales)}"
    yield panels([(f"Rows: {patches}. Columns: bicubic LR, this phase, HR.", {"": picture})])


def _series(rows: Iterable[Mapping[str, float]], name: str) -> tuple[list[float], list[float]]:
    """Steps and values of one metric; long series as means of equal stretches."""
    points = [(row["step"], row[name]) for row in rows if name in row and math.isfinite(row[name])]
    length = -(-len(points) // _MAX_POINTS) or 1
    stretches = [points[start : start + length] for start in range(0, len(points), length)]
    return [stretch[-1][0] for stretch in stretches], [fmean(value for _, value in stretch) for stretch in stretches]


def _rgb(path: Path) -> RgbImage:
    """Red, green and blue (or one band, three times) as uint8 [H, W, 3]."""
    if is_product(path):
        with open_scene(path, ("B04", "B03", "B02")) as reader:
            return _brightened(reader.read().pixels)
    if path.suffix.lower() not in (".tif", ".tiff"):
        return decode_image(path.read_bytes(), path.name).pixels
    raster = read_raster(path)
    return _brightened(raster.pixels[list(display_order(raster.band_names))])


def _brightened(bands: NDArray[np.number]) -> RgbImage:
    if bands.dtype != np.uint8:
        low, high = np.percentile(bands, (1, 99))
        bands = np.clip((bands.astype(np.float32) - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(bands, 0, -1))

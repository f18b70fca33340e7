"""The results of a sweep: files of figures, a page, and tables on the terminal."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.evaluation.comparison import EvaluatedImage
from pipelines.experiment.provenance import images, provenance
from pipelines.experiment.sweep import BASELINE, Sweep, SweepResults
from pipelines.experiment.sweep_rows import SweepRow, sweep_rows, to_csv, to_parquet
from pipelines.experiment.sweep_tables import FilledTable, SweepTable, fill_tables
from pipelines.report import Page, Part, listing, notice, panels, prose
from pipelines.tracking.secrecy import mask_secrets
from rssr.images import RgbImage
from rssr.inference.cost import SIDE

_NUM_PANELS = 2
_READING = (
    f"PSNR-Y and SSIM-Y are means over the held-out images. Time and multiply-accumulates are those of one image of "
    f"{SIDE} by {SIDE} pixels, here on `{{device}}`. Parameters are those that the networks trained here hold; beside "
    "them the paper's figure, at the published widths, which also counts parameters that no forward pass reads. The "
    "difference is the mean over images of a variant's PSNR-Y minus the published form's, with its 95 % interval "
    "(Student's t, paired by image): where it holds zero, these images do not tell the two apart. A teacher works from "
    "LR images alone and is compared with the published form's teacher."
)


@dataclass(frozen=True)
class SweepShape:
    """How a sweep is told.

    Attributes:
        reference: Variant that the others are compared with.
        tables: In the paper's order.
        paper_millions: Parameters in the paper by variant, in millions.
    """

    reference: str
    tables: Sequence[SweepTable]
    paper_millions: Mapping[str, float]


@dataclass(frozen=True)
class Told:
    """A published sweep.

    Attributes:
        where: Where everything lies, by name.
        text: Its tables as plain text.
        results: What became of the variants.
    """

    where: dict[str, str]
    text: str
    results: SweepResults


def publish_sweep(sweep: Sweep, shape: SweepShape) -> Told:
    """Write figures and report below the output and into the MLflow run."""
    results, home = sweep.results, sweep.plan.home
    rows = sweep_rows(results, shape.reference, shape.paper_millions)
    tables = fill_tables(shape.tables, rows, results.failures)
    text = "\n\n".join(table.to_text() for table in tables)
    name = f"{sweep.plan.method.name}-{sweep.run.run_id[:12]}"
    files = {
        f"{name}.html": _page(sweep, tables, rows).to_html().encode(),
        f"{name}.parquet": to_parquet(rows),
        f"{name}.csv": to_csv(rows),
        f"{name}-images.parquet": results.evaluation.to_parquet(),
        f"{name}.txt": f"{text}\n".encode(),
    }
    with tempfile.TemporaryDirectory(prefix="rssr-sweep-") as work:
        for file_name, data in files.items():
            home.write_bytes(f"sweeps/{file_name}", data)
            (Path(work) / file_name).write_bytes(data)
        sweep.run.log_artifact(Path(work), "sweep")
    where = {"runs": home.uri, "MLflow": mask_secrets(sweep.tracking_uri)}
    if shape.reference in results.models:
        where["model"] = results.models[shape.reference]
    where |= {"report": f"{home.uri}/sweeps/{name}.html", "figures": f"{home.uri}/sweeps/{name}.csv"}
    return Told(where, text, results)


def _page(sweep: Sweep, tables: Sequence[FilledTable], rows: Sequence[SweepRow]) -> Page:
    results, plan = sweep.results, sweep.plan
    num_variants = len(results.models) + len(results.failures)
    about = f"{plan.config.registry.name}, MLflow run {sweep.run.run_id}"
    page = Page(f"{plan.method.name}: {num_variants} variants", about)
    page.lead(*(notice(f"The variant `{name}` failed: {why}", "error") for name, why in results.failures.items()))
    examples = _examples(results.evaluation.examples)
    for table in tables:
        page.section(table.heading, table.to_report(), panels(_panel_rows(table, examples)))
    devices = sorted({cost.device for cost in results.costs.values()})
    page.section("How to read this", prose(_READING.format(device=", ".join(devices))), *_baseline(rows))
    page.section("Models", listing("\n".join(f"{name}: {uri}" for name, uri in results.models.items())))
    page.section("Images", *images(plan))
    page.section("Configuration and versions", *provenance(plan, mask_secrets(sweep.tracking_uri), sweep.run.run_id))
    return page


def _baseline(rows: Sequence[SweepRow]) -> Iterable[Part]:
    for row in rows:
        if row.variant == BASELINE:
            psnr, ssim = row.means["psnr_y_db"], row.means["ssim_y"]
            yield prose(f"For comparison, bicubic at scale {row.scale:g}: {psnr:.2f} dB, SSIM-Y {ssim:.4f}.")


def _examples(examples: Sequence[EvaluatedImage]) -> list[EvaluatedImage]:
    """Each image once, with what every model made of it."""
    merged: dict[tuple[str, float], EvaluatedImage] = {}
    for image in examples:
        shown = merged.setdefault((image.key, image.scale), replace(image, sr={}))
        shown.sr.update(image.sr)
    return list(merged.values())


def _panel_rows(table: FilledTable, examples: Sequence[EvaluatedImage]) -> list[tuple[str, dict[str, RgbImage]]]:
    """A few images with what the models of one table made of them."""
    at_scale = [image for image in examples if image.scale == table.scale][:_NUM_PANELS]
    models = {BASELINE: BASELINE, **table.models}
    return [
        (
            image.key,
            {
                "LR": image.lr,
                **{title: image.sr[model] for model, title in models.items() if model in image.sr},
                "HR": image.hr,
            },
        )
        for image in at_scale
    ]

"""Bulk runs as they might have been, made up."""

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from PIL import Image

from pipelines.bulk.config import BulkConfig
from pipelines.bulk.records import (
    FailedWindow,
    FileRole,
    InputScene,
    PlannedScene,
    ProductFile,
    RunIdentity,
    SceneRecord,
    SceneState,
)
from pipelines.bulk.result import BulkResult
from rssr.card import ModelCard, TileDependence, TrainingManifest, Uncertainty

PLANNED_AT = "2026-11-29T04:25:00Z"
_START = datetime(2026, 11, 29, 4, 25, tzinfo=UTC)
_ENDINGS: dict[FileRole, str] = {"data": ".tif", "consistency": "_consistency.tif", "thumbnail": ".png"}


def config(**values: object) -> BulkConfig:
    """Of a small run."""
    keys = {"input": "s3://in/2026/", "output": "s3://out/sr", "model": "models:/ldcsr@champion", "num_workers": 2}
    return BulkConfig.model_validate(keys | values)


def identity(model: str = "models:/ldcsr/3") -> RunIdentity:
    """What the run is one of."""
    return RunIdentity(
        digest="ab" * 32,
        model=model,
        model_digest="" if model == "bicubic" else "cd" * 32,
        values=config().product_values(),
        planned_at=PLANNED_AT,
        software={"rssr": "0.1.0", "torch": "2.9.1", "gdal": "3.9.3"},
    )


def card() -> ModelCard:
    """Of a model that tells how far it may be off."""
    return ModelCard(
        name="ldcsr-quickstart",
        method="ldcsr",
        bands=["red", "green", "blue"],
        scale_range=(1.0, 8.0),
        gsd_range_m=(8.0, 20.0),
        licence="CC-BY-4.0, from its training images",
        training_manifests=(
            TrainingManifest(uri="s3://data/m.parquet", digest="ef" * 32, split="train", num_images=900),
        ),
        uncertainty=Uncertainty(
            num_images=40,
            rmse=8.0,
            rms_deviation=7.5,
            correlation=0.5,
            coverage_1=0.69,
            coverage_2=0.94,
            calibration_error=0.05,
            likelihood_gain=0.3,
        ),
        tile_dependence=TileDependence(psnr_db=47.0, seam_score=1.01),
    )


def scene(
    name: str,
    bounds: tuple[float, float, float, float] | None = (9.0, 46.0, 10.4, 47.0),
    lr_size: tuple[int, int] = (1098, 1098),
) -> PlannedScene:
    """Planned at four times its size."""
    return PlannedScene(
        InputScene(name, "s3://in/2026", f"{name}.tif", "raster", 1_000_000, "v1"),
        lr_size=lr_size,
        sr_size=(4 * lr_size[0], 4 * lr_size[1]),
        dtype="uint16",
        band_names=("red", "green", "blue"),
        crs=None if bounds is None else "EPSG:32632",
        bounds=bounds,
        gsd_m=None if bounds is None else 10.0,
        tile_size=256,
        halo=16,
        num_tiles=25,
        windows=("r0000c0000", "r0000c0001", "r0001c0000", "r0001c0001"),
    )


def record(planned: PlannedScene, state: SceneState = "done", seams: float = 1.0, number: int = 0) -> SceneRecord:
    """What became of a scene, `number` minutes and a half after the start."""
    at = (_START + timedelta(seconds=90 * (number + 1))).isoformat().replace("+00:00", "Z")
    found = SceneRecord(
        planned.name, state, input_uri=planned.scene.uri, input_version="v1", num_tiles=25, finished_at=at
    )
    if state == "failed":
        return replace(found, reason="The pixels of the scene cannot be read: it ends too early. Is the file complete?")
    place = "_marked/" if state == "marked" else ""
    files = tuple(
        ProductFile(f"{place}{planned.name}{ending}", role, 4321, hashlib.sha256(ending.encode()).hexdigest())
        for role, ending in _ENDINGS.items()
    )
    reasons = {"marked": f"Its seam score is {seams:.3f}, above 1.05.", "partial": "1 of 4 windows failed."}
    failed = FailedWindow("r0000c0001", "The model gave values that are no numbers.", (0, 2048), (2048, 4392))
    return replace(
        found,
        reason=reasons.get(state, ""),
        files=files,
        sr_size=planned.sr_size,
        valid_share=0.75 if state == "partial" else 0.997,
        seam_score=seams,
        mean_consistency=3.25 + number / 10,
        failed_windows=(failed,) if state == "partial" else (),
        compute_s=70.0 + number,
        write_s=6.5,
        worker="node:1234",
    )


def thumbnail(found: SceneRecord) -> bytes:
    """A picture of hills with a corner that has no data, another one for each product."""
    seed = int(hashlib.sha256(found.name.encode()).hexdigest()[:8], 16)
    phase = np.random.default_rng(seed).uniform(0, 6, 3)
    rows, columns = np.mgrid[0:160, 0:200] / 25.0
    bands = [110 + 60 * np.sin(rows + p) * np.cos(columns * 0.8 - p) for p in phase]
    alpha = np.where(rows + columns < 2.5, 0, 255)
    buffer = io.BytesIO()
    Image.fromarray(np.stack([*bands, alpha], axis=-1).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def mixed_run(**values: object) -> BulkResult:
    """Twelve tiles of the Alps, one of each bad outcome among them, and a scene without a place."""
    planned = [
        scene(f"2026/T32T{'QRST'[n % 4]}{n:02d}", (6 + n % 4 * 1.3, 45 + n // 4, 7.4 + n % 4 * 1.3, 46 + n // 4))
        for n in range(12)
    ]
    planned += [scene("photo", None, (300, 500))]
    planned[4] = replace(
        planned[4], refusal="ldcsr takes 3 bands (red, green, blue); the scene has 1 (band_1).", windows=()
    )
    states: list[SceneState] = ["done", "marked", "done", "failed", "failed", "partial", *(["done"] * 7)]  # type: ignore[list-item]  # a list of literals
    seams = [1.0, 1.31, 1.004, 1.0, 1.0, 1.02, 1.0, 1.01, 1.0, 1.03, 1.0, 1.002, 1.0]
    records = {
        own.name: record(own, states[number], seams[number], number)
        for number, own in enumerate(planned)
        if number not in (4, 10)
    }
    return make(planned, records.values(), **values)


def good_run(num_scenes: int = 3, **values: object) -> BulkResult:
    """All went well."""
    planned = [scene(f"s{number}", (9.0 + number, 46.0, 10.4 + number, 47.0)) for number in range(num_scenes)]
    return make(planned, [record(own, number=number) for number, own in enumerate(planned)], **values)


def make(planned: Sequence[PlannedScene], records: Iterable[SceneRecord], **values: object) -> BulkResult:
    """A result, with other values than the usual ones."""
    usual: dict[str, object] = {
        "identity": identity(),
        "config": config(),
        "card": card(),
        "verification": (),
        "thumbnails": thumbnail,
        "started_at": PLANNED_AT,
        "ended_at": "2026-11-29T04:46:00Z",
        "hardware": "AMD EPYC, 2 cores, 24 GiB",
    }
    return BulkResult(planned=planned, records={own.name: own for own in records}, **(usual | values))  # type: ignore[arg-type]  # tests give what belongs there

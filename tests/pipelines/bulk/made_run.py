"""A small finished run, with real products."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from PIL import Image

from pipelines.bulk.commits.commit import Committer
from pipelines.bulk.commits.ledger import Ledger
from pipelines.bulk.records import (
    MARKED_FOLDER,
    FailedWindow,
    FileRole,
    InputScene,
    PlannedScene,
    SceneRecord,
    SceneState,
)
from pipelines.storage import Store
from rssr.raster import Raster, create_cog, describe, footprint, scaled_transform

LR_SIZE, SR_SIZE = (30, 40), (60, 80)
CRS = "EPSG:32632"
TRANSFORM = Affine(10, 0, 500_000, 0, -10, 5_300_000)
FAILED_WINDOW = FailedWindow("r0000c0001", "Memory was short.", (0, 60), (40, 80))


class AlwaysHeld:
    """The lease of a run that nobody disputes."""

    def require_held(self) -> None:
        """It is."""


def plan(name: str, **changes: Any) -> PlannedScene:
    """A scene as it is planned."""
    scene = InputScene(name, "s3://in", f"{name}.tif", "raster", 1000, f"version of {name}")
    planned = PlannedScene(
        scene=scene,
        lr_size=LR_SIZE,
        sr_size=SR_SIZE,
        dtype="uint16",
        band_names=("B02", "B08"),
        crs=CRS,
        bounds=None if (place := footprint(TRANSFORM, CRS, LR_SIZE)) is None else place.bbox,
        gsd_m=10.0,
        tile_size=16,
        halo=4,
        num_tiles=12,
        windows=("r0000c0000", "r0000c0001"),
    )
    return replace(planned, **changes)


def image(**changes: Any) -> Raster:
    """The product's pixels."""
    pixels = np.random.default_rng(0).integers(1, 5000, (2, *SR_SIZE)).astype(np.uint16)
    values = {
        "pixels": pixels,
        "transform": scaled_transform(TRANSFORM, LR_SIZE, SR_SIZE),
        "crs": CRS,
        "band_names": ("B02", "B08"),
        "valid_mask": np.ones(SR_SIZE, np.bool_),
    }
    return Raster(**{**values, **changes})


def masked_image() -> Raster:
    """The product's pixels where the failed window is masked."""
    mask = np.ones(SR_SIZE, np.bool_)
    mask[slice(*FAILED_WINDOW.rows), slice(*FAILED_WINDOW.columns)] = False
    return image(valid_mask=mask)


def write_cog(path: Path, raster: Raster, tags: Mapping[str, str] | None = None) -> Path:
    """A product's image."""
    with create_cog(path, describe(raster), tags=tags) as writer:
        writer.write_rows(raster.pixels, raster.valid_mask)
    return path


class Run:
    """A run that is being made.

    Args:
        store: The output.
        scratch: Where files are written first.
    """

    def __init__(self, store: Store, scratch: Path) -> None:
        self.store = store
        self.planned: list[PlannedScene] = []
        self._scratch = scratch
        self._committer = Committer(store, AlwaysHeld())

    def add(
        self,
        name: str,
        raster: Raster | None = None,
        state: SceneState = "done",
        tags: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> SceneRecord:
        """A scene with its product and its entry in the ledger."""
        planned = plan(name)
        self.planned.append(planned)
        record = SceneRecord(
            name,
            state,
            input_version=planned.scene.version,
            sr_size=SR_SIZE,
            num_tiles=12,
            valid_share=1.0,
            files=self._committer.commit(self._write(name, raster or image(), state, tags)),
        )
        return Ledger(self.store).record(replace(record, **changes))

    def add_failed(self, name: str, refusal: str = "") -> SceneRecord:
        """A scene of which nothing was written."""
        self.planned.append(plan(name, refusal=refusal))
        return Ledger(self.store).record(SceneRecord(name, "failed", refusal or "The file is damaged."))

    def _write(
        self, name: str, raster: Raster, state: SceneState, tags: Mapping[str, str] | None
    ) -> list[tuple[Path, str, FileRole]]:
        folder = self._scratch / name
        folder.mkdir(parents=True)
        key = f"{MARKED_FOLDER}/{name}" if state == "marked" else name
        leaf = name.rpartition("/")[2]
        consistency = Raster(np.ones((1, *LR_SIZE), np.float32), TRANSFORM, crs=CRS)
        Image.new("RGB", (8, 6)).save(folder / "thumbnail.png")
        item = {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": name,
            "assets": {"data": {"href": f"./{leaf}.tif"}, "thumbnail": {"href": f"./{leaf}.png"}},
        }
        (folder / "item.json").write_text(json.dumps(item))
        return [
            (write_cog(folder / "image.tif", raster, tags), f"{key}.tif", "data"),
            (write_cog(folder / "consistency.tif", consistency), f"{key}_consistency.tif", "consistency"),
            (folder / "thumbnail.png", f"{key}.png", "thumbnail"),
            (folder / "item.json", f"{key}.json", "metadata"),
        ]

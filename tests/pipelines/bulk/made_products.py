"""Products as they might have been written, made up."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from pipelines.bulk.products.product_facts import ProductFacts
from pipelines.bulk.records import SceneState
from rssr.raster import Radiometry, Raster, RasterInfo, create_cog, describe, scaled_transform
from tests.pipelines.bulk.made_runs import record, scene

PLACE = Affine(10, 0, 600_000, 0, -10, 5_200_000)
LR_SIZE, SR_SIZE = (250, 300), (1000, 1200)


def image_info(crs: str | None = "EPSG:32632", place: Affine = PLACE, nodata: float | None = 0.0) -> RasterInfo:
    """Of a product of 16-bit reflectance."""
    return RasterInfo(
        size=SR_SIZE,
        num_bands=3,
        dtype="uint16",
        transform=scaled_transform(place, LR_SIZE, SR_SIZE),
        crs=crs,
        band_names=("red", "green", "nir"),
        radiometry=Radiometry((1e-4,) * 3, (-0.1,) * 3),
        nodata=nodata,
        driver="GTiff",
    )


def facts(name: str = "2026/T32TQS", state: SceneState = "done", info: RasterInfo | None = None) -> ProductFacts:
    """Of a product with a consistency layer and a thumbnail, whose last band is bicubic."""
    info = image_info() if info is None else info
    planned = scene(name, lr_size=LR_SIZE)
    lr_info = replace(
        info,
        size=LR_SIZE,
        transform=PLACE,
        num_bands=1,
        dtype="float32",
        nodata=float("nan"),
        band_names=("error on the LR grid",),
        radiometry=Radiometry((1e-4,), (0.0,)),
    )
    return ProductFacts(
        planned,
        record(planned, state),
        {"data": info, "consistency": lr_info},
        ("ldcsr", "ldcsr", "bicubic"),
        (False, False, True),
    )


def write(path: Path, pixels: NDArray[np.number], mask: NDArray[np.bool_] | None = None, **more: object) -> Path:
    """Pixels [C, H, W] as a COG."""
    valid = np.ones(pixels.shape[1:], np.bool_) if mask is None else mask
    raster = Raster(pixels, PLACE, "EPSG:32632", valid, **more)  # type: ignore[arg-type]  # tests give what belongs there
    with create_cog(path, describe(raster)) as writer:
        writer.write_rows(raster.pixels, raster.valid_mask)
    return path

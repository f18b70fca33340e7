"""Small images of every kind that is sent, and models that need no training."""

from pathlib import Path
from typing import Any

from tests.pipelines.bulk.imagery import jpg, png, tif
from tests.pipelines.evaluation.small import save_sampler, save_student

SIZE = (40, 28)  # with tiles of 16 pixels, several of them
TILES = {"tile_size": 16, "halo": 4}


def of_every_kind() -> dict[str, bytes]:
    """Three bands each, by a name that says what is special."""
    plain: dict[str, Any] = {"transform": None, "crs": None}
    return {
        "picture.png": png(SIZE),
        "picture.jpg": jpg(SIZE),
        "plain.tif": tif(size=SIZE, **plain),
        "ground.tif": tif(size=SIZE),
        "deep.tif": tif(size=SIZE, dtype="uint16"),
        "fractions.tif": tif(size=SIZE, dtype="float32", nodata=7.0),
        "holes.tif": tif(size=SIZE, nodata=0, dtype="uint16"),
    }


def small_student(folder: Path) -> Path:
    """An untrained SlimDiffSR that cuts small images into tiles."""
    return save_student(folder, **TILES)


def small_sampler(folder: Path) -> Path:
    """An untrained LDCSR that cuts small images into tiles."""
    return save_sampler(folder, **TILES)

"""Small raw datasets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.ingest.config import IngestConfig
from rssr.images import encode_jpeg, encode_png
from rssr.seeds import numpy_generator

Pixels = NDArray[np.uint8]
Configure = Callable[..., IngestConfig]


def picture(*name: int | str, height: int = 48, width: int = 64) -> Pixels:
    """A smooth picture with detail of all sizes, as photographs have it; unlike any of another name."""
    rng = numpy_generator("picture", *name)
    total = np.zeros((height, width, 3), np.float32)
    for side in (3, 6, 12, 24, 48):
        coarse = rng.normal(0, 40 / np.sqrt(side), (side, side, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(total * 2 + 128, 0, 255).astype(np.uint8)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Twelve images of three classes, PNG and JPEG of several sizes, with spaces and other alphabets in their names."""
    folder = tmp_path / "raw data"
    names = (
        "farm/farm 001.png",
        "farm/farm 002.jpg",
        "farm/поле.png",
        "farm/é à.jpg",
        "harbour/1.png",
        "harbour/2.jpg",
    )
    for number, name in enumerate((*names, *(f"river/river_{n:03d}.png" for n in range(6)))):
        pixels = picture(name, height=40 + number, width=64)
        write_image(folder / name, pixels)
    (folder / "readme.txt").write_text("twelve images")
    return folder


@pytest.fixture
def configure(raw: Path, tmp_path: Path) -> Configure:
    """The configuration of an ingest of `raw` to `tmp_path/shards`, in several shards; keys replace its values."""

    def make(**values: Any) -> IngestConfig:  # configuration keys
        usual = {"input": {"uri": str(raw)}, "output": {"uri": str(tmp_path / "shards")}, "shard_bytes": 30_000}
        return IngestConfig.model_validate({**usual, "row_group_bytes": 12_000, "num_threads": 3, **values})

    return make


def write_image(path: Path, pixels: Pixels) -> None:
    """Write a picture as its name asks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_jpeg(pixels) if path.suffix == ".jpg" else encode_png(pixels))

"""A small dataset made on the spot."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rssr.images import encode_jpeg, encode_png
from rssr.seeds import numpy_generator

MakeImage = Callable[..., Path]


@pytest.fixture
def make_image(tmp_path: Path) -> MakeImage:
    """Write a random image below `tmp_path/data`; its content depends on name, size and seed."""

    def make(key: str, width: int = 40, height: int = 40, seed: int = 0) -> Path:
        path = tmp_path / "data" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (height, width, 3)
        pixels = numpy_generator(seed, key, width, height).integers(0, 256, shape).astype(np.uint8)
        path.write_bytes(encode_jpeg(pixels) if path.suffix == ".jpg" else encode_png(pixels))
        return path

    return make


@pytest.fixture
def dataset(tmp_path: Path, make_image: MakeImage) -> Path:
    """Thirty images of three classes, 16, 8 and 6 of each."""
    for class_name, number in (("farm", 16), ("harbour", 8), ("river", 6)):
        for index in range(number):
            make_image(f"{class_name}/{class_name}_{index:03d}.{'jpg' if index % 2 else 'png'}")
    return tmp_path / "data"

"""Published vectors and small images that the degradation's tests share."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from rssr.seeds import numpy_generator

_VECTORS = Path(__file__).parents[2] / "vectors"

LoadVector = Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]]
MakePhoto = Callable[..., npt.NDArray[np.uint8]]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def load_vector() -> LoadVector:
    """Tensors and description of one published vector file."""

    def load(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        description = json.loads((_VECTORS / f"{name}.json").read_text())
        return load_file(_VECTORS / f"{name}.safetensors"), description

    return load


@pytest.fixture(scope="session")
def make_photo() -> MakePhoto:
    """Images with structure at several sizes, uint8 [H, W, 3]."""

    def make(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
        generator = numpy_generator("photo", seed)
        coarse = generator.integers(0, 256, (-(-height // 3), -(-width // 3), 3), dtype=np.uint8)
        photo: npt.NDArray[np.uint8] = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        return photo

    return make

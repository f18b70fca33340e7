"""Pages read back, and what they hold."""

import base64
import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.page_reader import PageReader


@pytest.fixture
def read() -> Callable[[str], PageReader]:
    return lambda html: PageReader(str(html))


@pytest.fixture
def pixels_of() -> Callable[[str], NDArray[np.uint8]]:
    """What a `data:` URI shows."""

    def decode(uri: str) -> NDArray[np.uint8]:
        head, _, body = uri.partition(",")
        assert head.startswith("data:image/") and head.endswith(";base64")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))

    return decode


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from rssr.degradation.jpeg import jpeg_round_trip

MakePhoto = Callable[..., npt.NDArray[np.uint8]]


@pytest.mark.parametrize("quality", [30.0, 60.4, 79.6, 95.0, 100.0])
def test_round_trip_is_what_pillows_libjpeg_makes(make_photo: MakePhoto, quality: float) -> None:
    photo = make_photo(61, 83)
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=round(quality), subsampling="4:2:0")
    expected = np.asarray(Image.open(buffer)).astype(int)
    difference = np.abs(jpeg_round_trip(photo, quality) - expected)
    assert difference.max() <= 2  # builds may choose another exact DCT
    assert difference.mean() < 0.05


def test_lower_quality_loses_more(make_photo: MakePhoto) -> None:
    photo = make_photo(64, 64)
    errors = [np.abs(jpeg_round_trip(photo, quality) - photo.astype(int)).mean() for quality in (95, 80, 60, 30)]
    assert errors == sorted(errors)


def test_channels_keep_their_places() -> None:
    red = np.zeros((16, 16, 3), dtype=np.uint8)
    red[..., 0] = 250
    mean = jpeg_round_trip(red, 95).mean(axis=(0, 1))
    np.testing.assert_allclose(mean, [250, 0, 0], atol=3)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (17, 2)])
def test_any_size_survives(size: tuple[int, int]) -> None:
    assert jpeg_round_trip(np.full((*size, 3), 90, dtype=np.uint8), 75).shape == (*size, 3)

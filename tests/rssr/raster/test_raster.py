import numpy as np
import pytest
from affine import Affine

from rssr.errors import RasterError
from rssr.raster import Radiometry, Raster

PIXELS = np.zeros((2, 3, 4), np.uint16)


def test_what_is_not_said_is_filled_in() -> None:
    raster = Raster(PIXELS)
    assert raster.valid_mask.all()
    assert raster.valid_mask.shape == (3, 4)
    assert raster.band_names == ("band_1", "band_2")
    assert raster.radiometry == Radiometry((1.0, 1.0), (0.0, 0.0), declared=False)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"pixels": np.zeros((3, 4), np.uint8)}, r"\[C, H, W\]"),
        ({"pixels": np.zeros((1, 0, 4), np.uint8)}, "at least one"),
        ({"pixels": np.zeros((1, 3, 4), np.complex64)}, "complex64"),
        ({"valid_mask": np.ones((4, 3), np.bool_)}, "valid mask"),
        ({"valid_mask": np.ones((3, 4), np.uint8)}, "valid mask"),
        ({"band_names": ("red",)}, "2 bands"),
        ({"radiometry": Radiometry((1.0,), (0.0,))}, "2 bands"),
        ({"transform": Affine.scale(0, 1)}, "transform"),
    ],
)
def test_contradictions_are_refused_at_birth(change: dict[str, object], word: str) -> None:
    with pytest.raises(RasterError, match=word):
        Raster(**{"pixels": PIXELS, **change})  # type: ignore[arg-type]  # wrong values are the point


def test_nan_is_refused_with_a_count_unless_masked() -> None:
    pixels = np.zeros((1, 3, 4), np.float32)
    pixels[0, 1, 1:3] = np.nan
    with pytest.raises(RasterError, match="2 valid values"):
        Raster(pixels)
    mask = np.ones((3, 4), np.bool_)
    mask[1, 1:3] = False
    assert not Raster(pixels, valid_mask=mask).valid_mask.all()

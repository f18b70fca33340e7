import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.errors import RasterError
from rssr.raster import ground_sample_distance_m, scaled_transform, window_transform, wkt2_text

side = st.integers(1, 5000)


@settings(deadline=None)
@given(lr=st.tuples(side, side), sr=st.tuples(side, side), angle=st.floats(0, 360), pixel=st.floats(0.1, 100))
def test_enlarging_keeps_the_corners_on_the_ground(
    lr: tuple[int, int], sr: tuple[int, int], angle: float, pixel: float
) -> None:
    before = Affine.translation(500_000, 5_000_000) * Affine.rotation(angle) * Affine.scale(pixel, -pixel)
    after = scaled_transform(before, lr, sr)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        np.testing.assert_allclose(
            after * (column * sr[1], row * sr[0]), before * (column * lr[1], row * lr[0]), rtol=1e-9, atol=1e-3
        )


def test_a_rounded_size_does_not_drift() -> None:
    after = scaled_transform(Affine.scale(10, -10), (7, 101), (24, 343))
    assert after * (343, 24) == pytest.approx((1010, -70))
    assert after.a != pytest.approx(10 / 3.4, rel=1e-4)


def test_a_window_begins_where_its_first_pixel_lies() -> None:
    whole = Affine(10, 1, 300, 2, -10, 400)
    assert window_transform(whole, row=3, column=5) * (0, 0) == pytest.approx(whole * (5, 3))


@pytest.mark.parametrize(
    ("transform", "crs", "expected"),
    [
        (Affine.scale(10, -10), "EPSG:32632", 10.0),
        (Affine.rotation(30) * Affine.scale(0.5, -0.5), "EPSG:32632", 0.5),
        (Affine.scale(1, -1), "EPSG:2263", 0.3048),  # feet
        (Affine.translation(10, 60) * Affine.scale(0.001, -0.001), "EPSG:4326", 111.32 * 0.5**0.5),
        (Affine.scale(1, -1), None, None),
    ],
)
def test_ground_sample_distance_in_metres(transform: Affine, crs: str | None, expected: float | None) -> None:
    found = ground_sample_distance_m(transform, crs, (2, 2))
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-3))


def test_nonsense_crs_is_refused() -> None:
    with pytest.raises(RasterError, match="moon"):
        ground_sample_distance_m(Affine.identity(), "moon", (1, 1))


def test_a_crs_without_a_number_has_wkt_of_2019() -> None:
    local = wkt2_text("+proj=laea +lat_0=46 +lon_0=9 +datum=WGS84 +units=m")
    assert local.startswith("PROJCRS[") and "Lambert Azimuthal Equal Area" in local
    assert wkt2_text("EPSG:4326").startswith(("GEOGCRS[", "GEODCRS["))
    with pytest.raises(RasterError, match="not understood"):
        wkt2_text("the moon")

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.errors import RasterError
from rssr.raster import degrees_bounds, ground_sample_distance_m, scaled_transform, window_transform

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


def test_footprints_are_in_degrees() -> None:
    found = degrees_bounds(Affine(10, 0, 450_000, 0, -10, 5_100_000), "EPSG:32632", (1000, 10_000))
    assert found is not None
    west, south, east, north = found
    assert west + east == pytest.approx(2 * 9.0), "the zone's middle is 9 degrees east"
    metres_a_degree = 111_320 * np.cos(np.radians(46))
    assert east - west == pytest.approx(100_000 / metres_a_degree, rel=0.01)
    assert north - south == pytest.approx(10_000 / 111_320, rel=0.05), "the northern side bends"
    assert south == pytest.approx(5_090_000 / 0.9996 / (4_984_944 / 45), abs=0.02), "along a meridian up to 45 degrees"
    degrees = Affine(0.5, 0, 7, 0, -0.25, 50)
    assert degrees_bounds(degrees, "EPSG:4326", (4, 2)) == pytest.approx((7, 49, 8, 50))


def test_footprints_do_not_depend_on_rotation_or_direction() -> None:
    upward = Affine(0.5, 0, 7, 0, 0.25, 49)
    assert degrees_bounds(upward, "EPSG:4326", (4, 2)) == pytest.approx((7, 49, 8, 50))
    turned = Affine.translation(7, 50) * Affine.rotation(-90) * Affine.scale(1, -1)
    assert degrees_bounds(turned, "EPSG:4326", (2, 3)) == pytest.approx((5, 47, 7, 50))


def test_footprints_across_the_date_line_have_west_in_the_east() -> None:
    found = degrees_bounds(Affine(1000, 0, 700_000, 0, -1000, 1_000_000), "EPSG:32601", (10, 200))
    assert found is not None
    west, _, east, _ = found
    assert -180 <= west < east
    crossing = degrees_bounds(Affine(1000, 0, 100_000, 0, -1000, 1_000_000), "EPSG:32601", (10, 200))
    assert crossing is not None
    assert crossing[0] > 179 > -178 > crossing[2]


def test_there_is_no_footprint_without_a_crs() -> None:
    assert degrees_bounds(Affine.identity(), None, (1, 1)) is None

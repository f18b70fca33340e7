import itertools
import math
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import transform as warp

from rssr.raster import Footprint, footprint

TILE = Affine(10, 0, 300_000, 0, -10, 5_200_020)  # a tile of Sentinel-2


def found(place: Affine, crs: str, size: tuple[int, int]) -> Footprint:
    outline = footprint(place, crs, size)
    assert outline is not None
    return outline


def rings(outline: Footprint) -> list[list[list[float]]]:
    kind, parts = outline.geometry["type"], outline.geometry["coordinates"]
    return [parts[0]] if kind == "Polygon" else [part[0] for part in parts]


def area(ring: list[list[float]]) -> float:
    """Square degrees, positive where the ring goes counterclockwise."""
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(ring)) / 2


def test_a_tile_on_a_map_has_its_corners_and_its_curved_edges() -> None:
    outline = found(TILE, "EPSG:32632", (10_980, 10_980))
    [ring] = rings(outline)
    corners = [(300_000, 5_200_020), (300_000, 5_090_220), (409_800, 5_090_220), (409_800, 5_200_020)]
    xs, ys = zip(*corners, strict=True)
    for longitude, latitude in zip(*warp("EPSG:32632", "EPSG:4326", xs, ys), strict=True):
        assert min(math.hypot(a - longitude, b - latitude) for a, b in ring) < 1e-6
    assert 20 < len(ring) < 82, "edges are not straight in degrees"
    assert len(rings(found(TILE, "EPSG:32632", (50, 60)))[0]) == 5, "short ones are"
    assert area(ring) > 0 and ring[0] == ring[-1]
    assert outline.bbox == pytest.approx(
        (min(a for a, _ in ring), min(b for _, b in ring), max(a for a, _ in ring), max(b for _, b in ring))
    )


def test_a_raster_in_degrees_has_four_corners() -> None:
    outline = found(Affine(0.001, 0, 9, 0, -0.001, 47), "EPSG:4326", (500, 1000))
    assert outline.bbox == (9, 46.5, 10, 47)
    assert sorted(rings(outline)[0][:-1]) == [[9, 46.5], [9, 47], [10, 46.5], [10, 47]]


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_single_pixels_and_lines_have_outlines(size: tuple[int, int]) -> None:
    assert area(rings(found(TILE, "EPSG:32632", size))[0]) > 0


def test_a_turned_raster_is_outlined_as_it_lies() -> None:
    turned = Affine.translation(9, 46) @ Affine.rotation(45) @ Affine.scale(0.01, -0.01)
    outline = found(turned, "EPSG:4326", (100, 100))
    half = math.sqrt(0.5)
    assert outline.bbox == pytest.approx((9, 46 - half, 9 + 2 * half, 46 + half), abs=1e-6)
    assert area(rings(outline)[0]) == pytest.approx(1.0, abs=1e-5), "less than its box"


def test_across_the_antimeridian_it_is_cut_in_two() -> None:
    outline = found(Affine(0.01, 0, 179, 0, -0.01, -16), "EPSG:4326", (100, 300))
    assert outline.bbox == (179, -17, -178, -16)
    east, west = rings(outline)
    assert {longitude for longitude, _ in east} == {179, 180}
    assert {longitude for longitude, _ in west} == {-180, -178}
    assert area(east) == pytest.approx(1) and area(west) == pytest.approx(2)
    on_a_map = found(Affine(60, 0, 750_000, 0, -60, 8_200_000), "EPSG:32760", (1800, 1800))  # Fiji, zone 60 south
    assert on_a_map.geometry["type"] == "MultiPolygon" and on_a_map.bbox[0] > 0 > on_a_map.bbox[2]


def test_the_whole_globe_and_degrees_up_to_360_have_one_outline() -> None:
    globe = found(Affine(1, 0, -180, 0, -1, 90), "EPSG:4326", (180, 360))
    assert globe.bbox == (-180, -90, 180, 90) and area(rings(globe)[0]) == 360 * 180
    far = found(Affine(1, 0, 200, 0, -1, 10), "EPSG:4326", (5, 5))
    assert far.bbox == (-160, 5, -155, 10)


@pytest.mark.parametrize(("crs", "latitude"), [("EPSG:3995", 90.0), ("EPSG:3031", -90.0)])
def test_around_a_pole_it_reaches_the_pole(crs: str, latitude: float) -> None:
    outline = found(Affine(1000, 0, -1_000_000, 0, -1000, 1_000_000), crs, (2000, 2000))
    assert outline.bbox[0] == -180 and outline.bbox[2] == 180
    assert latitude in outline.bbox
    assert sum(area(ring) for ring in rings(outline)) == pytest.approx(360 * 10.5, rel=0.1)


def test_without_a_place_on_the_globe_there_is_none() -> None:
    assert footprint(TILE, None, (10, 10)) is None
    assert footprint(Affine(1e6, 0, -1e12, 0, -1e6, 1e12), "EPSG:32632", (10, 10)) is None


@settings(max_examples=60)
@given(
    longitude=st.floats(-180, 180),
    latitude=st.floats(-80, 80),
    angle=st.floats(0, 360),
    pixel=st.floats(1e-5, 0.01),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_outlines_are_closed_counterclockwise_and_as_large_as_the_raster(
    longitude: float, latitude: float, angle: float, pixel: float, size: tuple[int, int]
) -> None:
    place: Any = Affine.translation(longitude, latitude) @ Affine.rotation(angle) @ Affine.scale(pixel, -pixel)
    outline = found(place, "EPSG:4326", size)
    for ring in rings(outline):
        assert ring[0] == ring[-1] and len(ring) >= 4 and area(ring) > 0
        assert all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in ring)
    slack = 1e-6 * (size[0] + size[1]) * pixel + 1e-9  # of rounding
    np.testing.assert_allclose(sum(map(area, rings(outline))), size[0] * size[1] * pixel**2, atol=slack)

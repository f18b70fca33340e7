import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report.map_view import Bounds, MapView

FIJI = [(179.2, -17.0, -179.6, -16.0), (177.5, -18.2, 178.9, -17.1), (-179.9, -18.2, -178.9, -17.1)]


@st.composite
def scenes(draw: st.DrawFn) -> Bounds:
    west, south = draw(st.floats(-180, 179.9)), draw(st.floats(-89, 88))
    across, along = draw(st.floats(1e-4, 20)), draw(st.floats(1e-4, 1))
    return west, south, (west + across + 180) % 360 - 180, south + along


@given(st.lists(scenes(), min_size=1, max_size=20))
def test_every_scene_lies_within_the_drawing(held: list[Bounds]) -> None:
    view = MapView.around(held)
    assert view.east - view.west <= 360 and view.height > 0
    for bounds in held:
        for left, top, right, bottom in view.boxes(bounds):
            assert -0.1 <= left <= right <= view.width + 0.1
            assert -0.1 <= top <= bottom <= view.height + 0.1
        x, y = view.middle(bounds)
        assert 0 <= x <= view.width + 0.1 and 0 <= y <= view.height + 0.1


def test_scenes_at_the_antimeridian_lie_side_by_side() -> None:
    view = MapView.around(FIJI)
    assert view.east - view.west < 5
    assert all(len(view.boxes(bounds)) == 1 for bounds in FIJI)
    places = [view.boxes(bounds)[0][0] for bounds in FIJI]
    assert places[1] < places[0] < places[2]
    assert [line.text for line in view.meridians] == ["178° E", "179° E", "180°", "179° W"]


def test_on_the_whole_globe_a_scene_at_the_edge_has_two_pieces() -> None:
    view = MapView.around([(float(west), 0.0, west + 5.0, 5.0) for west in range(-180, 175, 20)] + FIJI[:1])
    assert (view.west, view.east) == (-180, 180)
    (first, second) = view.boxes(FIJI[0])
    assert first[2] == pytest.approx(view.width) and second[0] == pytest.approx(0)
    assert first[2] - first[0] + second[2] - second[0] == pytest.approx(1.2 * view.width / 360)


def test_a_ring_around_the_pole_shows_all_longitudes() -> None:
    view = MapView.around([(-180.0, 75.0, 180.0, 90.0), (20.0, 78.0, 28.0, 79.0)])
    assert (view.west, view.east, view.north) == (-180, 180, 90)


def test_a_scene_keeps_its_proportions_on_the_ground() -> None:
    """At 60 degrees a degree of longitude is half as long as one of latitude."""
    (left, top, right, bottom) = MapView.around([(10.0, 59.5, 12.0, 60.5)]).boxes((10.0, 59.5, 12.0, 60.5))[0]
    assert (right - left) / (bottom - top) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("side", [1e-5, 0.01, 1.0, 30.0, 170.0])
def test_a_few_lines_with_names_cross_any_map(side: float) -> None:
    view = MapView.around([(5.0, 0.0, 5.0 + 2 * side, min(side, 80.0))])
    for lines in (view.meridians, view.parallels):
        assert 2 <= len(lines) <= 7
        texts = [line.text for line in lines if line.text]
        assert texts and len(set(texts)) == len(texts)
        assert all(4 <= line.share <= 96 for line in lines if line.text)


def test_a_single_pixel_is_shown_with_its_surroundings() -> None:
    view = MapView.around([(9.0, 46.0, 9.0, 46.0)])
    assert view.east - view.west > 0.001 and math.isfinite(view.height)

import re

import numpy as np

from pipelines.report.colours import gradient, paint
from rssr.value_map import ValueMap

LOW, HIGH = (0x44, 0x01, 0x54), (0xFD, 0xE7, 0x25)  # viridis as published


def lightness(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(float) @ [0.2126, 0.7152, 0.0722]


def test_values_get_lighter_from_one_end_of_the_scale_to_the_other() -> None:
    painted = paint(ValueMap(np.linspace(-3, 5, 200, dtype=np.float32)[None], "m"))
    assert painted.shape == (1, 200, 3)
    assert painted.dtype == np.uint8
    assert tuple(painted[0, 0]) == LOW
    assert tuple(painted[0, -1]) == HIGH
    assert np.all(np.diff(lightness(painted[0])) > -0.6), "never darker by more than rounding"
    assert len(np.unique(painted[0], axis=0)) > 150


def test_equal_values_have_equal_colours_in_maps_of_one_scale() -> None:
    first = paint(ValueMap(np.array([[0.25, 1.0]], np.float32), "m", (0.0, 1.0)))
    second = paint(ValueMap(np.array([[0.25, 0.5]], np.float32), "m", (0.0, 1.0)))
    assert np.array_equal(first[0, 0], second[0, 0])


def test_values_beyond_the_scale_take_its_ends_and_missing_ones_are_grey() -> None:
    painted = paint(ValueMap(np.array([[-9, 9, np.nan]], np.float32), "m", (0.0, 1.0)))
    assert [tuple(pixel) for pixel in painted[0]] == [LOW, HIGH, (128, 128, 128)]


def test_a_constant_map_is_of_the_middle_colour() -> None:
    constant = paint(ValueMap(np.full((2, 2), 500, np.float32), "of 999"))
    middle = paint(ValueMap(np.array([[0, 0.5, 1]], np.float32), ""))[0, 1]
    assert np.all(constant == middle)


def test_the_gradient_shows_the_colours_of_the_maps() -> None:
    stops = [tuple(bytes.fromhex(stop)) for stop in re.findall(r"#([0-9a-f]{6})", gradient())]
    assert (stops[0], stops[-1]) == (LOW, HIGH)
    assert np.all(np.diff(lightness(np.array(stops))) > 0)

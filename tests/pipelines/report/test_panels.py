from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.report import panels
from pipelines.report.colours import paint
from rssr.value_map import ValueMap


def test_every_picture_appears_once_with_its_labels(
    read: Callable[[str], Any], pixels_of: Callable[[str], NDArray[np.uint8]], picture: NDArray[np.uint8]
) -> None:
    rows = [("one.png", {"LR": picture[::2, ::2], "HR": picture}), ("two.png", {"LR": picture[:, ::-1]})]
    page = read(panels(rows, "Held-out images"))
    shown = {image["alt"]: pixels_of(image["src"]) for image in page.attributes("img")}
    expected = {f"{name}: {label}": pixels for label, images in rows for name, pixels in images.items()}
    assert shown.keys() == expected.keys()
    for alt, pixels in expected.items():
        np.testing.assert_array_equal(shown[alt], pixels)
    assert page.texts("figcaption") == ["LR", "HR", "LR"]
    assert page.texts("p") == ["Held-out images", "one.png", "two.png"]


def test_as_many_columns_as_the_longest_row(read: Callable[[str], Any], picture: NDArray[np.uint8]) -> None:
    page = read(panels([("a", {"x": picture}), ("b", {"x": picture, "y": picture, "z": picture})]))
    assert page.attributes("div")[0]["style"] == "--columns: 3"


def test_long_rows_are_parted_into_lines_of_about_equal_length(
    read: Callable[[str], Any], picture: NDArray[np.uint8]
) -> None:
    for num_pictures, num_columns in ((6, 6), (7, 4), (8, 4), (12, 6), (13, 5)):
        page = read(panels([("a", {str(number): picture for number in range(num_pictures)})]))
        assert page.attributes("div")[0]["style"] == f"--columns: {num_columns}"


def test_no_rows_make_no_pictures(read: Callable[[str], Any]) -> None:
    assert read(panels([])).attributes("img") == []


def test_a_map_is_shown_in_colours_with_the_ends_of_its_scale_and_its_unit(
    read: Callable[[str], Any], pixels_of: Callable[[str], NDArray[np.uint8]], picture: NDArray[np.uint8]
) -> None:
    depth = ValueMap(np.array([[1.25, 2.5], [3, 4]], np.float32), "m", (0.0, 1234.5))
    page = read(panels([("lake", {"HR": picture, "depth": depth})]))
    hr, shown = page.attributes("img")
    assert hr["alt"] == "HR: lake"
    assert shown["alt"] == "depth: lake; values from 1.25 to 4 m"
    np.testing.assert_array_equal(pixels_of(shown["src"]), paint(depth))
    assert "pixels" in shown["class"], "an enlarged map shows its cells"
    assert page.texts("figcaption") == ["HR", "depth, m"]
    assert [text for text in page.texts("span") if text] == ["0", "1,234"]
    [bar] = [attributes for attributes in page.attributes("span") if attributes.get("class") == "scale-bar"]
    assert bar["aria-hidden"] == "true"
    assert bar["style"].startswith("background: linear-gradient(")


def test_pure_numbers_have_no_unit_to_name(read: Callable[[str], Any]) -> None:
    page = read(panels([("a", {"share": ValueMap(np.array([[0.5, 2]], np.float32), "")})]))
    assert page.texts("figcaption") == ["share"]
    assert page.attributes("img")[0]["alt"] == "share: a; values from 0.5 to 2"

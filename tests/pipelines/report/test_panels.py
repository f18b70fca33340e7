from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.report import panels


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


def test_no_rows_make_no_pictures(read: Callable[[str], Any]) -> None:
    assert read(panels([])).attributes("img") == []

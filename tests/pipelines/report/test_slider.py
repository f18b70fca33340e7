from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.report import before_after


def test_slider_shows_both_pictures(
    read: Callable[[str], Any], pixels_of: Callable[[str], NDArray[np.uint8]], picture: NDArray[np.uint8]
) -> None:
    page = read(before_after(picture, picture[::-1], ("bicubic", "ours"), "A scene."))
    shown = {image["alt"]: pixels_of(image["src"]) for image in page.attributes("img")}
    np.testing.assert_array_equal(shown["bicubic: A scene."], picture)
    np.testing.assert_array_equal(shown["ours: A scene."], picture[::-1])


def test_slider_is_a_labelled_range_that_starts_in_the_middle(
    read: Callable[[str], Any], picture: NDArray[np.uint8]
) -> None:
    (control,) = read(before_after(picture, picture, ("bicubic", "ours"), "A scene.")).attributes("input")
    assert (control["type"], control["min"], control["max"], control["value"]) == ("range", "0", "100", "50")
    assert "bicubic" in control["aria-label"] and "ours" in control["aria-label"]


def test_pictures_of_different_size_share_the_frame_and_show_pixels(
    read: Callable[[str], Any], picture: NDArray[np.uint8]
) -> None:
    page = read(before_after(picture[::4, ::4], picture, ("LR", "ours"), "A scene."))
    assert [(image["width"], image["height"]) for image in page.attributes("img")] == [("40", "24")] * 2
    ours, lr = page.attributes("img")
    assert "pixels" in lr["class"].split()
    assert "class" not in ours

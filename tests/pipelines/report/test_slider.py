from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.report import Page, before_after, side_by_side
from tests.browser import Browser


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
    lr, ours = page.attributes("img")
    assert "pixels" in lr["class"].split()
    assert "class" not in ours


def test_any_two_of_several_pictures_can_be_chosen(read: Callable[[str], Any], picture: NDArray[np.uint8]) -> None:
    named = {"LR": picture[::4, ::4], "bicubic": picture, "ours": picture[::-1], "HR": picture}
    page = read(side_by_side(named, ("bicubic", "HR"), "A scene."))
    assert [choice["data-side"] for choice in page.attributes("select")] == ["before", "after"]
    assert page.texts("option") == list(named) * 2
    assert [option["value"] for option in page.attributes("option") if "selected" in option] == ["1", "3"]
    sides = [box["class"] for box in page.attributes("div") if "slider-picture" in box["class"].split()]
    assert sides == ["slider-picture", "slider-picture slider-before", "slider-picture", "slider-picture slider-after"]
    assert read(before_after(picture, picture, ("a", "b"), "")).attributes("select") == []


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slider over two pictures, and one over four."""
    rng = np.random.default_rng(0)
    first, *others = (rng.integers(0, 256, (120, 160, 3), dtype=np.uint8) for _ in range(4))
    named = {"LR": first[::4, ::4], **dict(zip(("a", "b", "c"), others, strict=True))}
    path = tmp_path_factory.mktemp("slider") / "page.html"
    sliders = before_after(first, others[0], ("left", "right"), "two"), side_by_side(named, ("LR", "b"), "four")
    Page("Sliders").section("Here", *sliders).write(path)
    return path


POSITION = "+document.querySelector('.slider').style.getPropertyValue('--position').replace('%', '')"


def test_the_divider_follows_the_mouse(browser: Browser, page: Path) -> None:
    with browser.tab(page) as tab:
        left, top, width, height = tab.box(".slider-view")
        middle = top + height / 2
        tab.drag((left + width / 2, middle), (left + 0.8 * width, middle))
        assert tab.evaluate(POSITION) == pytest.approx(80, abs=1)
        assert tab.box(".slider-divider")[0] == pytest.approx(left + 0.8 * width, abs=0.02 * width)
        tab.drag((left + 0.8 * width, middle), (left + 0.1 * width, middle))
        assert tab.evaluate(POSITION) == pytest.approx(10, abs=1)
        assert tab.complaints == []


def test_the_divider_follows_the_keyboard_and_says_where_it_is(browser: Browser, page: Path) -> None:
    spoken = "document.activeElement.getAttribute('aria-valuetext')"
    with browser.tab(page) as tab:
        tab.press("Tab")
        assert tab.evaluate(spoken) == "50% left"
        tab.press("ArrowRight", times=5)
        assert (tab.evaluate(POSITION), tab.evaluate(spoken)) == (60, "60% left")
        tab.press("ArrowLeft", times=10)
        assert tab.evaluate(POSITION) == 40
        tab.press("End")
        assert tab.evaluate(POSITION) == 100
        tab.press("Home")
        assert (tab.evaluate(POSITION), tab.evaluate(spoken)) == (0, "0% left")


def test_a_choice_changes_the_picture_of_its_side_and_equal_choices_change_places(browser: Browser, page: Path) -> None:
    second = "document.querySelectorAll('.slider')[1]"
    shown = f"['before', 'after'].map((side) => {second}.querySelector('.slider-' + side + ' img').alt)"
    label = f"{second}.querySelector('input').getAttribute('aria-label')"
    is_seen = "(e) => e.checkVisibility({visibilityProperty: true})"
    seen = f"[...{second}.querySelectorAll('img')].filter({is_seen}).map((e) => e.alt)"
    with browser.tab(page) as tab:
        tab.press("Tab", times=2)  # the list of the left side
        tab.press("ArrowDown")
        assert tab.evaluate(shown) == ["a: four", "b: four"]
        assert tab.evaluate(label) == "Divider between a and b"
        tab.press("ArrowDown")
        assert tab.evaluate(shown) == ["b: four", "a: four"], "the two change places"
        assert tab.evaluate(seen) == ["a: four", "b: four"]


def test_on_paper_all_pictures_stand_side_by_side_under_their_names(browser: Browser, page: Path) -> None:
    of_picture = """(picture) => {
        const box = picture.getBoundingClientRect();
        return [box.left, box.right, box.top, box.bottom, picture.checkVisibility({visibilityProperty: true})];
    }"""
    of_slider = f"(slider) => [...slider.querySelectorAll('img')].map({of_picture})"
    boxes = f"[...document.querySelectorAll('.slider')].map({of_slider})"
    with browser.tab(page) as tab:
        tab.paper()
        for slider in tab.evaluate(boxes):
            for number, (left, right, top, bottom, is_visible) in enumerate(slider):
                assert is_visible and right - left > 100 and bottom - top > 75
                assert all(left >= other[1] or other[0] >= right or top >= other[3] for other in slider[:number])
        names = tab.evaluate("[...document.querySelectorAll('.slider-tag')].map((e) => e.innerText)")
        assert names == ["left", "right", "LR", "a", "b", "c"]
        pdf = tab.pdf()
    assert pdf.count(b"/Subtype /Image") == 5, "each picture; one is on both sliders"

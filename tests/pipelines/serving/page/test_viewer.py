"""The divider and the zoom, with mouse and keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Tab
from tests.pipelines.serving.page.conftest import Visit
from tests.pipelines.serving.page.steps import size_words, super_resolve, text_of

POSITION = "+document.querySelector('#stage').style.getPropertyValue('--position').replace('%', '')"
HANDLE = "#divider-handle"


@pytest.fixture
def tab(visit: Visit, picture: Path) -> Iterator[Tab]:
    """A page with a result of 256 x 192 pixels."""
    with visit() as tab:
        super_resolve(tab, picture)
        yield tab
        assert tab.complaints == []


def stage(tab: Tab) -> tuple[float, float, float, float]:
    """Left, top, width and height of the view, inside its border."""
    left, top, width, height = tab.box("#stage")
    return left + 1, top + 1, width - 2, height - 2


def seen(tab: Tab) -> tuple[float, float, float]:
    """Left and top of the picture in the view, and screen pixels for one of SR."""
    left, top, width = tab.evaluate(
        "(() => { const box = (name) => document.querySelector(name).getBoundingClientRect(); "
        "const [inner, outer] = [box('.layer-after .picture'), box('#stage')]; "
        "return [inner.left - outer.left - 1, inner.top - outer.top - 1, inner.width]; })()"
    )
    return left, top, width / 256


def test_all_of_the_picture_is_seen_at_first(tab: Tab) -> None:
    _, _, width, height = stage(tab)
    left, top, zoom = seen(tab)
    assert zoom == pytest.approx(min(width / 256, height / 192), rel=0.01)
    assert left == pytest.approx((width - 256 * zoom) / 2, abs=1)
    assert top == pytest.approx((height - 192 * zoom) / 2, abs=1)
    assert text_of(tab, "#zoom-level") == f"{100 * zoom:.0f} %"


def test_the_divider_follows_the_mouse_and_parts_the_pictures(tab: Tab) -> None:
    left, top, width, height = stage(tab)
    middle = top + height / 2
    tab.drag((left + width / 2, middle), (left + 0.8 * width, middle))
    assert tab.evaluate(POSITION) == pytest.approx(80, abs=1)
    tab.drag((left + 0.8 * width, middle), (left + 0.1 * width, middle))
    assert tab.evaluate(POSITION) == pytest.approx(10, abs=1)
    clips = tab.evaluate("[...document.querySelectorAll('.layer')].map((each) => getComputedStyle(each).clipPath)")
    after, before = ([float(part.strip("%px)")) for part in clip.split("(")[1].split()] for clip in clips)
    assert after[-1] == pytest.approx(10, abs=1), "SR begins where the divider is"
    assert "90" in clips[1] or before[1] == pytest.approx(90, abs=1), "and LR ends there"
    assert seen(tab)[2] == pytest.approx(min(width / 256, height / 192), rel=0.01), "it did not zoom"


def test_the_divider_follows_the_keyboard_and_says_where_it_is(tab: Tab) -> None:
    spoken = "document.activeElement.getAttribute('aria-valuetext')"
    tab.evaluate("document.querySelector('#divider').focus()")
    assert tab.evaluate(spoken) == f"50 % LR {size_words(64, 48)}"
    tab.press("ArrowRight", times=5)
    assert (tab.evaluate(POSITION), tab.evaluate(spoken)) == (60, f"60 % LR {size_words(64, 48)}")
    tab.press("ArrowLeft", times=10)
    assert tab.evaluate(POSITION) == 40
    tab.press("Home")
    assert tab.evaluate(POSITION) == 0


def test_the_wheel_zooms_about_the_mouse(tab: Tab) -> None:
    left, top, width, height = stage(tab)
    point = (0.25 * width, 0.5 * height)
    before = seen(tab)
    place = [(point[axis] - before[axis]) / before[2] for axis in (0, 1)]
    tab.turn_wheel((left + point[0], top + point[1]), -400)
    tab.wait_until(f"document.querySelector('#zoom-level').innerText !== '{100 * before[2]:.0f} %'")
    after = seen(tab)
    assert after[2] > 1.5 * before[2]
    assert [(point[axis] - after[axis]) / after[2] for axis in (0, 1)] == pytest.approx(place, abs=0.5)


def test_a_zoomed_picture_is_dragged_but_not_beyond_its_edge(tab: Tab) -> None:
    tab.click("#zoom-in")
    tab.click("#zoom-in")
    left, top, width, height = stage(tab)
    before = seen(tab)
    start = (left + 0.3 * width, top + 0.5 * height)
    tab.drag(start, (start[0] + 40, start[1] - 30))
    after = seen(tab)
    assert (after[0] - before[0], after[1] - before[1]) == pytest.approx((40, -30), abs=1)
    for _ in range(4):
        tab.drag(start, (start[0] + 400, start[1]))
    assert seen(tab)[0] == pytest.approx(0, abs=1)
    assert tab.evaluate(POSITION) == 50, "the divider stayed"


def test_buttons_zoom_and_show_all_again(tab: Tab) -> None:
    fit = seen(tab)[2]
    assert tab.evaluate("document.querySelector('#zoom-out').disabled")
    tab.click("#zoom-in")
    assert seen(tab)[2] == pytest.approx(1.5 * fit, rel=0.01)
    tab.click("#zoom-out")
    assert seen(tab)[2] == pytest.approx(fit, rel=0.01)
    for _ in range(12):
        tab.evaluate("document.querySelector('#zoom-in').click()")
    assert seen(tab)[2] == pytest.approx(32)
    assert tab.evaluate("document.querySelector('#zoom-in').disabled")
    tab.click("#zoom-fit")
    assert seen(tab)[2] == pytest.approx(fit, rel=0.01)


def test_keys_zoom_and_move_the_picture(tab: Tab) -> None:
    fit = seen(tab)[2]
    tab.evaluate("document.querySelector('#stage').focus()")
    tab.press("+", times=3)
    before = seen(tab)
    assert before[2] == pytest.approx(1.5**3 * fit, rel=0.01)
    tab.press("ArrowRight")
    tab.press("ArrowUp")
    after = seen(tab)
    assert after[0] < before[0] - 20 and after[1] > before[1] + 20
    tab.press("-")
    assert seen(tab)[2] == pytest.approx(1.5**2 * fit, rel=0.01)
    tab.press("0")
    assert seen(tab)[2] == pytest.approx(fit, rel=0.01)


def test_pixels_are_shown_smooth_or_as_squares(tab: Tab) -> None:
    rendering = "getComputedStyle(document.querySelector('.layer-before .picture')).imageRendering"
    assert tab.evaluate(rendering) == "auto"
    tab.click("#squares")
    assert tab.evaluate(rendering) == "pixelated"


def test_two_fingers_pinch(tab: Tab) -> None:
    left, top, width, height = stage(tab)
    fit = seen(tab)[2]
    y = top + height / 2

    def touch(kind: str, *offsets: float) -> None:
        points = [{"x": left + 0.3 * width + offset, "y": y, "id": i} for i, offset in enumerate(offsets)]
        tab.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    touch("touchStart", -20, 20)
    touch("touchMove", -40, 40)
    touch("touchMove", -60, 60)
    touch("touchEnd")
    assert seen(tab)[2] == pytest.approx(3 * fit, rel=0.05)


def test_the_picture_fits_a_window_that_changes(tab: Tab) -> None:
    tab.resize((700, 800))
    tab.wait_until("document.querySelector('#stage').clientWidth < 690")
    tab.wait_until(
        "(() => { const stage = document.querySelector('#stage'); "
        "const shown = document.querySelector('.layer-after .picture').getBoundingClientRect().width; "
        "return Math.abs(shown - Math.min(stage.clientWidth, (stage.clientHeight * 4) / 3)) < 2; })()"
    )

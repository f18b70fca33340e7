import itertools
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.report import Column, Footprint, FootprintState, Page, footprints, table
from tests.browser import DESKTOP, PHONE, Browser

STATES: tuple[FootprintState, ...] = get_args(FootprintState)
WORDS: dict[FootprintState, str] = {"done": "published", "failed": "failed or refused"}

COMES_INTO_VIEW = """async (height) => {
    for (let frames = 0; frames < 600; frames++) {
        const top = document.querySelector(':target').getBoundingClientRect().top;
        if (top >= 0 && top <= height) return true;
        await new Promise(requestAnimationFrame);
    }
    return false;
}"""

# How colours look to those who lack one kind of cones, in linear light (Machado, Oliveira and Fernandes, 2009).
_VISIONS = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def five(link: bool = True) -> list[Footprint]:
    """One of each state, in a row."""
    return [
        Footprint(
            f"scene {number}",
            state,
            (10.0 + number, 46.0, 10.9 + number, 47.0),
            f"note {number}",
            f"row-{number}" * link,
        )
        for number, state in enumerate(STATES)
    ]


def outlines(page: Any) -> list[str]:
    """Classes of all outlines on the map, without those of the legend."""
    classes = [path["class"] for path in page.attributes("path") if "footprint" in path["class"]]
    return [name.removeprefix("footprint state-") for name in classes[len(page.attributes("li")) :]]


def test_each_scene_is_an_outline_with_its_words_and_a_link(read: Callable[[str], Any]) -> None:
    page = read(footprints(five(), "Where", WORDS))
    assert sorted(outlines(page)) == sorted(STATES)
    assert "scene 3: note 3" in page.texts("title")
    assert sorted(link["href"] for link in page.attributes("a")) == [f"#row-{number}" for number in range(5)]
    assert page.texts("li") == ["published: 1", "marked: 1", "partial: 1", "failed or refused: 1", "waiting: 1"]
    assert read(footprints(five(link=False), "", {})).attributes("a") == []


def test_the_worst_lie_on_top(read: Callable[[str], Any]) -> None:
    assert outlines(read(footprints(five(), "", {}))) == ["done", "waiting", "marked", "partial", "failed"]


def test_states_differ_without_colours(read: Callable[[str], Any]) -> None:
    """By a mark within the outline; one that waits is dashed."""
    boxes = [Footprint("a", state, (0.0, 0.0, 1.0, 1.0)) for state in STATES if state != "waiting"]
    paths = {
        footprints([box], "", {}).split("<svg viewBox")[1].split('class="footprint')[1].split('d="')[1].split('"')[0]
        for box in boxes
    }
    assert len(paths) == len(boxes)
    style = resources.files("pipelines.report").joinpath("templates/style.css").read_text()
    assert re.search(r"\.footprint\.state-waiting \{[^}]*stroke-dasharray", style)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("vision", _VISIONS)
def test_states_differ_for_the_colour_blind(theme: str, vision: str) -> None:
    style = resources.files("pipelines.report").joinpath("templates/style.css").read_text()
    part = style.split("prefers-color-scheme: dark")[1 if theme == "dark" else 0]
    colours = [re.findall(rf"--state-{state}: (#\w+);", part)[0] for state in STATES]
    seen = [to_lab(_VISIONS[vision] @ to_light(colour)) for colour in colours]
    nearest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))
    assert nearest > 15, "a difference of 2 is just seen"


def to_light(colour: str) -> NDArray[np.float64]:
    levels = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    light: NDArray[np.float64] = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return light


def to_lab(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIELAB of linear sRGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    shares = to_xyz @ np.clip(light, 0, 1) / (0.9505, 1.0, 1.089)
    x, y, z = np.where(shares > 0.008856, np.cbrt(shares), 7.787 * shares + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_scenes_without_a_place_are_counted(read: Callable[[str], Any]) -> None:
    placeless = [Footprint("a", "done", None), Footprint("b", "failed", None)]
    some = read(footprints([*five(), *placeless], "", {}))
    assert "Not on the map: 2 without a coordinate reference system." in some.texts("p")
    none = read(footprints(placeless, "", {}))
    assert none.texts("p") == ["Where they lie is unknown: no scene has a coordinate reference system."]
    assert outlines(none) == [] and none.texts("li") == ["done: 1", "failed: 1"]
    assert read(footprints([], "", {})).texts("p") == ["No scenes."]


def test_thousands_are_counted_in_cells_of_their_worst_state(read: Callable[[str], Any]) -> None:
    rng = np.random.default_rng(0)
    many = [
        Footprint(f"s{number}", "done", (west, south, west + 1, south + 1), link="row")
        for number, (west, south) in enumerate(rng.uniform((-170, -60), (160, 60), (2999, 2)).tolist())
    ]
    page = read(footprints([*many, Footprint("bad", "failed", (100.0, 30.0, 101.0, 31.0))], "", {}))
    cells = [title for title in page.texts("title") if "scenes:" in title]
    assert 500 < len(cells) < 2000 and page.attributes("a") == []
    assert sum(int(title.split()[0].replace(",", "")) for title in cells) == 3000
    assert outlines(page).count("failed") == 1
    assert any("1 failed" in title for title in cells)
    assert any("3,000 scenes are counted in cells" in text for text in page.texts("p"))


def test_tiny_scenes_are_large_enough_to_be_seen(browser: Browser, tmp_path: Path) -> None:
    far = [Footprint("a", "done", (-60.0, 0.0, -59.999, 0.001)), Footprint("b", "failed", (60.0, 0.0, 60.001, 0.001))]
    Page("t").section("s", footprints(far, "", {})).write(tmp_path / "page.html")
    with browser.tab(tmp_path / "page.html") as tab:
        assert min(tab.box(".map-frame .footprint")[2:]) > 7


def test_the_map_fits_its_frame_and_leads_to_rows(browser: Browser, tmp_path: Path) -> None:
    rows = table([Column("a", "A")], [{"a": number} for number in range(5)], anchors=[f"row-{n}" for n in range(5)])
    spacer = table([Column("a", "A")], [{"a": number} for number in range(200)])
    Page("t").section("s", footprints(five(), "Where", {}), spacer, rows).write(tmp_path / "page.html")
    for size in (DESKTOP, PHONE):
        with browser.tab(tmp_path / "page.html", size) as tab:
            left, _, width, _ = tab.box(".map-frame")
            for state in STATES:
                x, _, across, along = tab.box(f".map-frame .state-{state}")
                assert across > 5 and along > 5 and left <= x <= x + across <= left + width + 1
            x, y, across, along = tab.box(".map-frame .state-failed")
            tab.drag((x + across / 2, y + along / 3), (x + across / 2, y + along / 3))
            assert tab.evaluate("location.hash") == "#row-3"
            assert tab.evaluate("document.querySelector(':target').id") == "row-3"
            assert tab.evaluate(f"({COMES_INTO_VIEW})({size[1]})"), "the page scrolls there"
            assert tab.complaints == []

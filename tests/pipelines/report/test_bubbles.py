import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from pipelines.report import Axis, Bubble, bubbles

TIME, QUALITY = Axis("seconds an image", is_log=True), Axis("LPIPS", is_reversed=True)
POINTS = [
    Bubble("bicubic", 0.002, 0.5),
    Bubble("small", 0.1, 0.3, 10e6),
    Bubble("large", 8.0, 0.25, 1000e6),
]


def paths(html: str) -> list[tuple[float, float]]:
    """Extents of all closed curves, width and height."""
    found = []
    for path in re.findall(r' d="([^"]+)"', html):
        if "C" in path:
            numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", path)]
            found.append((max(numbers[::2]) - min(numbers[::2]), max(numbers[1::2]) - min(numbers[1::2])))
    return found


def test_areas_are_true_to_scale(read: Callable[[str], Any]) -> None:
    widths = sorted({round(width, 1) for width, _ in paths(bubbles(POINTS, "", TIME, QUALITY, "parameters"))})
    assert abs(widths[-1] / (widths[-1] / 10) - math.sqrt(1000 / 10)) < 0.1
    assert any(abs(width - widths[-1] / 10) < 0.3 for width in widths), "a hundredth of the parameters, a tenth as wide"


def test_everything_is_named_in_the_drawing_and_in_words(read: Callable[[str], Any]) -> None:
    page = read(bubbles(POINTS, "LPIPS against time", TIME, QUALITY, "parameters"))
    assert {"bicubic", "small", "large", "seconds an image", "LPIPS", "0.01"} <= set(page.texts("text"))
    [label] = [box["aria-label"] for box in page.attributes("div") if "aria-label" in box]
    assert "large: seconds an image 8, LPIPS 0.25, parameters 1e+09" in label
    assert "bicubic: seconds an image 0.002, LPIPS 0.5;" in label
    assert page.texts("p") == ["Area: parameters."]


def heights(page: Any, names: Sequence[str]) -> list[float]:
    at = {
        text: attributes
        for (tag, attributes, _), text in zip(page.elements, all_texts(page), strict=True)
        if tag == "text"
    }
    return [float(at[name].get("y") or re.search(r"(-?[\d.]+)\)", at[name]["transform"])[1]) for name in names]  # type: ignore[index]


def all_texts(page: Any) -> list[str]:
    return ["".join(texts).strip() for _, _, texts in page.elements]


def test_better_is_up_where_less_is_better(read: Callable[[str], Any]) -> None:
    worse, better = heights(read(bubbles(POINTS, "", TIME, QUALITY)), ("bicubic", "large"))
    assert better < worse, "0.25 lies above 0.5; y grows downwards"
    worse, better = heights(read(bubbles(POINTS, "", TIME, Axis("LPIPS"))), ("bicubic", "large"))
    assert better > worse


def test_names_of_things_in_one_place_do_not_cover_one_another(read: Callable[[str], Any]) -> None:
    crowd = [Bubble(f"method {number}", 1.0 + 0.001 * number, 0.5, 1.0) for number in range(4)]
    page = read(bubbles([*crowd, Bubble("far", 10.0, 0.1, 1.0)], "", TIME, QUALITY))
    places = [
        (attributes.get("transform") or (attributes["x"], attributes["y"]))
        for (tag, attributes, _), text in zip(page.elements, all_texts(page), strict=True)
        if tag == "text" and text.startswith("method")
    ]
    assert len(set(places)) == 4


def test_what_has_no_place_is_left_out_but_keeps_its_colour(read: Callable[[str], Any]) -> None:
    points = [Bubble("unknown", math.nan, 0.5), Bubble("at once", 0.0, 0.5), Bubble("ours", 1.0, 0.5)]
    html = bubbles(points, "t", TIME, QUALITY)
    assert not {"unknown", "at once"} & set(read(html).texts("text"))
    assert set(re.findall(r"--series-\d", html)) == {"--series-3"}
    assert read(bubbles(points[:2], "t", TIME, QUALITY)).texts("p") == ["No values."]

import math
from collections.abc import Callable
from typing import Any

import pytest
from markupsafe import Markup

from pipelines.report import Column, Estimate, table

MODEL = Column("model", "Model")


def best(read: Callable[[str], Any], column: Column, values: list[float]) -> list[str]:
    rows = [{"model": str(index), column.name: value} for index, value in enumerate(values)]
    return read(table([MODEL, column], rows)).texts("strong")


def test_best_value_follows_the_direction(read: Callable[[str], Any]) -> None:
    assert best(read, Column("psnr", "PSNR", "highest"), [20.0, 31.5, 30.0]) == ["31.50"]
    assert best(read, Column("lpips", "LPIPS", "lowest"), [0.5, 0.25, 0.75]) == ["0.25"]


def test_values_that_look_equal_are_all_best(read: Callable[[str], Any]) -> None:
    assert best(read, Column("psnr", "PSNR", "highest", 2), [31.501, 31.4999, 1.0]) == ["31.50", "31.50"]


def test_missing_values_are_dashes_and_never_best(read: Callable[[str], Any]) -> None:
    column = Column("lpips", "LPIPS", "lowest")
    page = read(
        table([MODEL, column], [{"model": "a", "lpips": math.nan}, {"model": "b"}, {"model": "c", "lpips": 2.0}])
    )
    assert page.texts("td") == ["–", "–", "2.00"]  # noqa: RUF001  # the dash of tables
    assert page.texts("strong") == []


@pytest.mark.parametrize("values", [[], [3.0]])
def test_nothing_is_best_without_comparison(read: Callable[[str], Any], values: list[float]) -> None:
    assert best(read, Column("psnr", "PSNR", "highest"), values) == []


def test_no_direction_marks_nothing(read: Callable[[str], Any]) -> None:
    assert best(read, Column("seconds", "Time, s"), [1.0, 2.0]) == []


def test_headings_name_columns_and_rows(read: Callable[[str], Any]) -> None:
    page = read(table([MODEL, Column("n", "Images")], [{"model": "bicubic", "n": 12000}], caption="Results"))
    scopes = [attributes["scope"] for attributes in page.attributes("th")]
    assert (page.texts("th"), scopes) == (["Model", "Images", "bicubic"], ["col", "col", "row"])
    assert (page.texts("td"), page.texts("caption")) == (["12,000"], ["Results"])


def test_direction_is_said_in_words(read: Callable[[str], Any]) -> None:
    page = read(table([MODEL, Column("lpips", "LPIPS", "lowest")], []))
    assert "lowest is best" in [attributes.get("aria-label") for attributes in page.attributes("span")]


def test_values_with_intervals_stand_as_numbers_do() -> None:
    row = {"model": "a", "gain": "+0.22 ± 0.12"}
    text, number = (table([MODEL, Column("gain", "Gain, dB", is_numeric=told)], [row]) for told in (False, True))
    assert number.count('class="number"') == text.count('class="number"') + 2  # heading and cell


def test_intervals_and_notes_stand_below_values_which_are_compared_alone(read: Callable[[str], Any]) -> None:
    cells = [
        Estimate(27.5, 26, 29),
        Estimate(31.25, 30.1, 32.4, "clearly best"),
        Estimate(20.0),
        Estimate(math.nan),
        None,
    ]
    page = read(table([MODEL, Column("psnr", "PSNR", "highest")], [{"model": "a", "psnr": cell} for cell in cells]))
    assert page.texts("strong") == ["31.25"]
    missing = "–"  # noqa: RUF001  # the dash of tables
    assert page.texts("td") == [
        "27.5026.00 to 29.00",
        "31.25 best30.10 to 32.40clearly best",
        "20.00",
        missing,
        missing,
    ]
    assert all("number" in cell["class"] for cell in page.attributes("td"))


def test_rows_may_have_anchors(read: Callable[[str], Any]) -> None:
    page = read(table([MODEL], [{"model": "a"}, {"model": "b"}, {"model": "c"}], anchors=["first", "", "third"]))
    assert [row.get("id") for row in page.attributes("tr")] == [None, "first", None, "third"]
    plain = read(table([MODEL], [{"model": "a"}]))
    assert all("id" not in row for row in plain.attributes("tr"))


def test_a_part_in_a_cell_stays_one_and_text_is_escaped(read: Callable[[str], Any]) -> None:
    page = read(table([MODEL, Column("b", "B")], [{"model": "<b>", "b": Markup('<a href="#x">there</a>')}]))
    assert page.texts("a") == ["there"] and page.texts("th")[-1] == "<b>" and page.attributes("b") == []

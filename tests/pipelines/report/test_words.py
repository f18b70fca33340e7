from collections.abc import Callable
from typing import Any

from pipelines.report import KeyFigure, beside, checks, facts, folded, heading, key_figures, listing, notice, prose


def test_empty_lines_part_paragraphs_and_backticks_mark_code(read: Callable[[str], Any]) -> None:
    page = read(prose("One\nand `x < y`.\n\n  Two. "))
    assert page.texts("p") == ["One and x < y.", "Two."]
    assert page.texts("code") == ["x < y"]


def test_notice_carries_its_level_and_role(read: Callable[[str], Any]) -> None:
    page = read(notice("Careful with `fresh`.", "warning"))
    (box,) = page.attributes("div")
    assert box["role"] == "note" and "notice-warning" in box["class"].split()
    assert page.texts("p") == ["Careful with fresh."]


def test_facts_pair_names_with_values(read: Callable[[str], Any]) -> None:
    page = read(facts({"images": 9000, "share": 0.25, "licence": "CC-BY", "seed": None, "fresh": True}))
    assert page.texts("dt") == ["images", "share", "licence", "seed", "fresh"]
    assert page.texts("dd") == ["9,000", "0.2500", "CC-BY", "–", "True"]  # noqa: RUF001  # the dash of tables


def test_key_figures_show_value_label_and_note(read: Callable[[str], Any]) -> None:
    page = read(key_figures([KeyFigure("27.31 dB", "PSNR-Y", "+1.26 dB"), KeyFigure("58 M", "parameters")]))
    assert page.texts("li") == ["PSNR-Y 27.31 dB +1.26 dB", "parameters 58 M"]


def test_listing_keeps_text_and_folds_it_behind_a_summary() -> None:
    text = "a: 1\n  b: <2>\n"
    assert "a: 1\n  b: &lt;2&gt;\n" in listing(text)
    assert "<details" not in listing(text)
    assert "<summary>Configuration</summary>" in listing(text, "Configuration")


def test_checks_say_in_words_what_their_signs_show(read: Callable[[str], Any]) -> None:
    page = read(checks([("good", "Nothing failed."), ("warning", "Few images: set `num_images`.")]))
    assert page.texts("li") == ["Good: Nothing failed.", "Beware: Few images: set num_images."]
    assert [item["class"] for item in page.attributes("li")] == ["check-good", "check-warning"]


def test_folded_parts_and_parts_side_by_side_hold_their_parts(read: Callable[[str], Any]) -> None:
    page = read(folded("More & more", prose("one"), beside(prose("two"), heading("<three>"))))
    assert page.texts("summary") == ["More & more"]
    assert (page.texts("p"), page.texts("h3")) == (["one", "two"], ["<three>"])
    assert [box["class"] for box in page.attributes("div")] == ["beside"]


def test_numbers_are_not_parted_from_their_unit() -> None:
    assert "95\N{NO-BREAK SPACE}% of 3\N{NO-BREAK SPACE}dB" in notice("95 % of 3 dB")

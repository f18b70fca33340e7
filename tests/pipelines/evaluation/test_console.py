import math
import re

import pytest

from pipelines.evaluation.console import digits_of, result_text, shared_text
from pipelines.evaluation.published import load_table
from pipelines.evaluation.result import Failure, SetValue, SharedImage
from rssr.metrics import METRICS, MetricSpec
from rssr.weights.missing import MissingWeights
from tests.pipelines.evaluation.made_results import LPIPS, made_result

FOUND = {
    "bicubic psnr_y": [20.0, 25.0, 30.0, 35.0],
    "slimdiffsr psnr_y": [21.5, 26.6, 31.4, 36.7],
}


def test_the_table_says_who_is_best_and_whether_that_is_clear() -> None:
    text = result_text(made_result({("AID", 4.0): FOUND}))
    assert "AID x4, 4 images" in text
    assert re.search(r"bicubic +4 +27\.50 \[\d\d\.\d\d, \d\d\.\d\d\] ", text)
    assert re.search(r"slimdiffsr +4 +29\.05 \[\d\d\.\d\d, \d\d\.\d\d\]\*\*", text)
    assert re.search(r"AID +4 +slimdiffsr +\+1\.550 +\[\+1\.\d+, \+1\.\d+\] +100% +4 +0", text)


def test_a_missing_metric_is_an_empty_column_with_what_fetches_it() -> None:
    missing = MissingWeights("alexnet", "not in weights", "fetch alexnet", "metrics.weights=DIR", "leave it out")
    text = result_text(made_result({("AID", 4.0): FOUND}, gaps={"lpips": missing}))
    heading, bicubic = text.splitlines()[1:3]
    at = heading.index("LPIPS")
    assert bicubic[at : at + 5].strip() == ""
    assert "LPIPS is missing: alexnet (not in weights). Fetch it with `fetch alexnet`." in text


def test_warnings_failures_notices_and_the_promotion_are_told() -> None:
    sets = [SetValue("AID", 4.0, "bicubic", "fid", 60.0, math.nan, math.nan, 4, "fewer than 2,048 images")]
    failures = [Failure("AID", f"{n}.png", "It cannot be read.") for n in range(5)]
    failures.append(Failure("AID", "odd\udcff.png", "SR has 3 x 4 pixels.", 4.0, "slimdiffsr"))
    values = {
        "set_values": sets,
        "failures": failures,
        "notices": ("It is unknown.",),
        "promotion": "The champion stays.",
    }
    text = result_text(made_result({("AID", 4.0): FOUND}, **values))
    assert "AID x4, FID: fewer than 2,048 images (4 images)" in text
    assert "AID: 5 left out\n  0.png: It cannot be read.\n  1.png: It cannot be read.\n  2.png" in text
    assert "AID: 1 left out of slimdiffsr\n  odd\\udcff.png: SR has 3 x 4 pixels." in text
    assert "Note: It is unknown." in text
    assert text.endswith("The champion stays.")
    text.encode()


def test_no_line_is_wider_than_a_terminal_though_there_are_many_metrics() -> None:
    specs = tuple(MetricSpec(f"m{n}", f"Metric number {n}", "lower", (0.0, 1.0), "rgb") for n in range(12))
    found = {f"{name} m{n}": [0.1, 0.2] for n in range(12) for name in ("bicubic", "slimdiffsr")}
    text = result_text(made_result({("AID", 4.0): found}, metrics=specs, rank_by="m0"))
    assert max(map(len, text.splitlines())) <= 120
    assert all(f"Metric number {n}" in text for n in range(12))


def test_figures_of_a_paper_stand_above_ours_in_its_columns_and_blank_where_there_are_none() -> None:
    places = {(name, 4.0): FOUND for name in ("NWPU-RESISC45", "DOTA", "DIOR")}
    table = load_table("slimdiffsr/table2")
    text = result_text(made_result(places, metrics=(METRICS["psnr_y"], LPIPS)), table)
    part = text[text.index("Table 2 of SlimDiffSR") :]
    assert "(2026-05-17)" in part.splitlines()[0]
    assert "published in: SlimDiffSR, arXiv:2605.02198v2, Table 2" in part
    rows = {line.split()[1]: line.split() for line in part.splitlines() if line.startswith(("Regr", "GAN", "Diff"))}
    assert list(rows) == list(table.methods)
    assert rows["TransENet"][2:] == ["26.17", "0.6651", "0.5240", "0.2826", "0.2381", "37.50", "0.077", "35.09"]
    ours = next(line for line in part.splitlines() if "measured here" in line and "slimdiffsr" in line)
    assert ours.split()[3:] == ["29.05", "0.500"], "all images of all datasets; what was not measured is blank"
    assert "RTX 3090" in part


def test_a_papers_table_of_other_places_shows_no_figure_of_ours() -> None:
    text = result_text(made_result({("AID", 8.0): FOUND}), load_table("ldcsr/integer"))
    assert "SPSR" in text
    assert "measured here" not in text


def test_shared_images_are_counted_whole_and_named_in_part() -> None:
    shared = [SharedImage("NWPU", f"{n}.jpg", "mine", f"airport_{n}.jpg") for n in range(700)]
    shared += [SharedImage("NWPU", "a.jpg", "mine", "b.jpg", 3), SharedImage("AID", "c.jpg", "", "NWPU: d.jpg", 0)]
    lines = shared_text(shared).splitlines()
    assert lines[0] == "Images of NWPU that mine was trained on: 700"
    assert lines[1:5] == [*(f"  {n}.jpg: airport_{n}.jpg" for n in range(3)), "  ..."]
    assert lines[5:7] == [
        "Images of NWPU that resemble what mine was trained on: 1",
        "  a.jpg: b.jpg (3 bits of 64 apart)",
    ]
    assert lines[7:] == [
        "Images of AID that resemble those of another dataset: 1",
        "  c.jpg: NWPU: d.jpg (0 bits of 64 apart)",
    ]


@pytest.mark.parametrize(("value", "digits"), [(1717.0, 0), (456.1, 1), (26.05, 2), (9.442, 3), (0.6663, 4), (0.0, 4)])
def test_figures_have_as_many_digits_as_papers_print(value: float, digits: int) -> None:
    assert digits_of([value, value / 3]) == digits

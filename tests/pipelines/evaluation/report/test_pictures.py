from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.evaluation.findings import Findings
from pipelines.evaluation.report.pictures import maps, most_different, pictures, shown_once
from pipelines.evaluation.result import EvaluationResult

Change = Callable[..., EvaluationResult]


def test_an_image_is_shown_once_with_all_reasons(result: EvaluationResult) -> None:
    [shown] = shown_once(result.shown)
    assert shown.reasons == ("worst PSNR (Y) of ours", "worst LPIPS of theirs")
    assert shown.label == "town/000.png, scale 4"


def test_every_method_can_be_chosen_and_carries_its_value(found: Findings, read: Callable[..., Any]) -> None:
    page = read(pictures(found, shown_once(found.result.shown)))
    values = {name: found.result.values(name, "psnr_y", 4.0)["town/000.png"] for name in found.methods}
    named = [f"{name}, PSNR (Y) {value:.2f} dB" for name, value in values.items()]
    assert page.texts("option") == ["LR", *named, "HR"] * 2
    chosen = [option["value"] for option in page.attributes("option") if "selected" in option]
    assert chosen == ["1", "2"], "the reference beside the method that chose the image"
    assert page.texts("h3") == ["town/000.png, scale 4: worst PSNR (Y) of ours; worst LPIPS of theirs"]


def test_without_hr_and_values_images_are_shown_all_the_same(change: Change, read: Callable[..., Any]) -> None:
    shown = [replace(image, hr=None) for image in change().shown]
    found = Findings(change(rows=[], shown=shown))
    assert (
        read(pictures(found, shown_once(shown))).texts("option") == ["LR", "bicubic", "ours", "theirs", "outside"] * 2
    )


def test_the_place_where_methods_differ_most_is_enlarged(found: Findings, read: Callable[..., Any]) -> None:
    page = read(pictures(found, shown_once(found.result.shown)))
    [label] = [text for text in page.texts("p") if text.startswith("Where methods differ most")]
    assert label == "Where methods differ most: from row 8, column 16 of LR"
    sizes = {image["alt"].split(":")[0]: (image["width"], image["height"]) for image in page.attributes("img")[-6:]}
    assert sizes == {"LR": ("16", "16"), **dict.fromkeys(("bicubic", "ours", "theirs", "outside", "HR"), ("64", "64"))}


def test_the_most_different_square_is_found(noise: NDArray[np.uint8]) -> None:
    other = noise.copy()
    other[40:50, 20:30] = 255 - other[40:50, 20:30]
    assert most_different([noise, other, noise], 10) == (40, 20)
    assert most_different([noise, noise], 64) == (0, 0)


@pytest.mark.parametrize("side", [5, 40])
def test_small_images_and_broken_scales_have_details_too(change: Change, read: Callable[..., Any], side: int) -> None:
    hr = np.random.default_rng(0).integers(0, 256, (side, side + 3, 3), dtype=np.uint8)
    image = replace(change().shown[0], lr=hr[: side // 3, : side // 3], hr=hr, sr={"ours": hr, "theirs": hr[::-1]})
    page = read(pictures(Findings(change()), shown_once([image])))
    assert all(int(picture["width"]) > 0 for picture in page.attributes("img"))


def test_maps_of_all_methods_are_on_one_scale(result: EvaluationResult) -> None:
    [shown] = shown_once(result.shown)
    (first, near), (second, sure) = maps(shown)
    assert (first, second) == (
        "town/000.png, scale 4: how far SR taken back to LR is from LR",
        "town/000.png, scale 4: error bars",
    )
    assert {own.limits for own in near.values()} == {(0.0, 3.0)}  # type: ignore[union-attr]
    assert list(sure) == ["ours"]
    assert max(sure["ours"].values.shape) == 128  # type: ignore[union-attr]

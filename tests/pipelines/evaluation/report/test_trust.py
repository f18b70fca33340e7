from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pipelines.evaluation.findings import Findings, is_of_trust
from pipelines.evaluation.report.pictures import shown_once
from pipelines.evaluation.report.trust import trust
from pipelines.evaluation.result import EvaluationResult
from rssr.metrics import METRICS
from rssr.metrics.trust_specs import TRUST_SPECS

Change = Callable[..., EvaluationResult]


def test_every_metric_of_trust_is_told_in_words(change: Change, read: Callable[..., Any]) -> None:
    names = {spec.name for spec in TRUST_SPECS}
    assert names == {spec.name for spec in METRICS.values() if is_of_trust(spec)}
    rows = [replace(row, metrics=dict.fromkeys(names, 0.5)) for row in change().rows]
    page = read(trust(Findings(change(rows=rows, metrics=TRUST_SPECS)), []))
    meanings = dict(zip(page.texts("th")[2:], page.texts("td"), strict=False))
    for spec in TRUST_SPECS:
        assert len(meanings[spec.title].split()) > 10
        assert meanings[spec.title] != spec.source


def test_metrics_maps_and_error_bars_are_shown(found: Findings, read: Callable[..., Any]) -> None:
    page = read(trust(found, shown_once(found.result.shown)))
    assert page.texts("caption")[:2] == [f"{place.title}: means with 95 % intervals" for place in found.places]
    assert page.texts("summary") == ["The same beside bicubic, image by image"]
    assert [image["alt"].split(":")[0] for image in page.attributes("img")] == [*found.methods, "ours"]
    assert page.texts("figcaption")[-2:] == [
        "Reliability: groups of like error bars",
        "Errors within one error bar, by group",
    ]
    assert page.texts("h3") == ["Maps", "Error bars"]


def test_maps_of_many_images_are_folded_away(change: Change, read: Callable[..., Any]) -> None:
    image = change().shown[0]
    shown = shown_once([replace(image, row=replace(image.row, key=f"{number}.png")) for number in range(5)])
    assert read(trust(Findings(change(reliability={})), shown)).texts("summary")[-1] == "Maps of 3 more"


def test_what_is_not_there_is_not_told(change: Change) -> None:
    rows = [replace(row, metrics={"psnr_y": 30.0}) for row in change().rows]
    assert list(trust(Findings(change(rows=rows, reliability={})), [])) == []

from collections.abc import Callable
from typing import Any

from pipelines.evaluation.findings import Findings
from pipelines.evaluation.report.provenance import provenance


def test_methods_and_datasets_are_told_with_digests_and_licences(found: Findings, read: Callable[..., Any]) -> None:
    page = read(provenance(found))
    dash, unstated = "–", "not stated"  # noqa: RUF001  # as tables have it
    assert page.texts("td")[:20] == [
        *("interpolation", "bicubic interpolation", dash, dash, dash),
        *("model", "models:/ours@candidate", "abababababab", "Apache-2.0", dash),
        *("official weights", "theirs.pth", "cdcdcdcdcdcd", unstated, "efefefefefef"),
        *("images made elsewhere", "sr/outside", dash, "CC BY 4.0", dash),
    ]
    assert page.texts("td")[20:30] == [
        *("24", "data/town", "runs/town/manifest", "121212121212", unstated),
        *("8", "data/sea", "runs/sea/manifest", "343434343434", "CC BY-NC 4.0"),
    ]


def test_digests_are_there_in_full(found: Findings, read: Callable[..., Any]) -> None:
    [digests, config] = read(provenance(found)).texts("pre")
    assert digests.split() == [
        *("12" * 32, "manifest", "of", "town", "34" * 32, "manifest", "of", "sea"),
        *("ab" * 32, "model", "ours", "cd" * 32, "model", "theirs", "ef" * 32, "learnt", "from", "by", "theirs"),
    ]
    assert config == "methods: [bicubic, ours]"


def test_metrics_are_told_with_how_to_read_them_and_their_licences(found: Findings, read: Callable[..., Any]) -> None:
    page = read(provenance(found))
    cells = page.texts("td")[30:]
    assert cells[0] == "higher is better, 0 to ∞ dB; on luma (Y), against HR, border cut"
    assert cells[2] == "lower is better, 0 to ∞; on red, green and blue, against HR, whole image"
    assert "Zhang et al. 2018" in cells[3] and "PolyForm-Noncommercial" in cells[3]
    assert "of a whole set of images" in cells[6]


def test_versions_hardware_date_and_seed_are_told(found: Findings, read: Callable[..., Any]) -> None:
    page = read(provenance(found))
    told = dict(zip(page.texts("dt"), page.texts("dd"), strict=True))
    assert told == {"date": "2026-11-29", "hardware": "2 cores", "rssr": "1.2.3", "torch": "2.9"}
    assert any("The seed is 7." in text for text in page.texts("p"))

"""The page, section by section."""

from pathlib import Path

from pipelines.evaluation.findings import Findings, counted
from pipelines.evaluation.report.against import against
from pipelines.evaluation.report.answer import CAVEATS, answer, leaders
from pipelines.evaluation.report.caveats import caveats
from pipelines.evaluation.report.costs import costs
from pipelines.evaluation.report.pictures import pictures, shown_once
from pipelines.evaluation.report.plots import by_class, by_dataset
from pipelines.evaluation.report.provenance import provenance
from pipelines.evaluation.report.scores import published, scores
from pipelines.evaluation.report.trust import trust
from pipelines.evaluation.result import EvaluationResult
from pipelines.report import Page, notice


def write_report(result: EvaluationResult, path: Path) -> None:
    """Write the report as one self-contained HTML file: the answer first, then what it rests on.

    Args:
        result: Of the evaluation. Whatever it lacks is told in words; no number is made up.
        path: Of the file; readers see the old file or the whole new one.

    Raises:
        StorageError: The file cannot be written.
    """
    found = Findings(result)
    shown = shown_once(result.shown)
    page = Page(result.title, _subtitle(found))
    page.lead(*answer(found))
    if result.promotion:
        page.section("Promotion", notice(f"{result.promotion[0].upper()}{result.promotion[1:]}"))
    if result.rows:
        _add_results(page, found)
    if shown:
        page.section("Images", *pictures(found, shown))
    if found.trust or result.reliability or any(item.image.consistency for item in shown):
        page.section("Trust", *trust(found, shown))
    if result.rows:
        page.section("Quality and time", *costs(found))
    page.section(CAVEATS, *caveats(found))
    page.section("How it was made", *provenance(found))
    page.write(path)


def _add_results(page: Page, found: Findings) -> None:
    """Sections of numbers."""
    page.section("Results", *leaders(found), *scores(found))
    if found.result.published:
        page.section("Published figures", *published(found))
    if len(found.methods) > 1:
        page.section(f"Beside {found.result.reference}", *against(found))
    if found.ranking is not None:
        page.section("Datasets and classes", *by_dataset(found, found.ranking), *by_class(found, found.ranking))


def _subtitle(found: Findings) -> str:
    result = found.result
    scales = ", ".join(f"{scale:g}" for scale in result.scales)
    parts = [
        counted(len(result.methods), "method"),
        f"{counted(found.num_images, 'image')} of {counted(len(result.datasets), 'dataset')}",
        f"scale {scales}" if len(result.scales) == 1 else f"scales {scales}",
        *([result.date] if result.date else []),
    ]
    return " · ".join(parts)

"""The page, section by section."""

from pathlib import Path

from pipelines.bulk.report.lead import lead, subtitle
from pipelines.bulk.report.measures import measures
from pipelines.bulk.report.origin import how_it_was_made, next_steps
from pipelines.bulk.report.pictures import pictures
from pipelines.bulk.report.scene_map import scene_map
from pipelines.bulk.report.scenes import failed_windows, scenes
from pipelines.bulk.report.timeline import timeline
from pipelines.bulk.result import BulkResult
from pipelines.report import Page


def write_report(result: BulkResult, path: Path) -> None:
    """Write the report as one self-contained HTML file: what came of it first, then where, which, how well and how.

    Args:
        result: Of the run, which may be under way. Whatever it lacks is told in words or left out.
        path: Of the file; readers see the old file or the whole new one.

    Raises:
        StorageError: The file cannot be written.
    """
    page = Page("Super-resolved scenes", subtitle(result))
    page.lead(*lead(result))
    page.section("Map", scene_map(result))
    page.section("Scenes", *scenes(result))
    if result.num_failed_windows:
        page.section("Windows that failed", *failed_windows(result))
    if shown := list(pictures(result)):
        page.section("Pictures", *shown)
    if any(True for _ in result.products):
        page.section("Seams and consistency", *measures(result))
        page.section("Throughput", *timeline(result))
    page.section("How to go on", *next_steps(result))
    page.section("How it was made", *how_it_was_made(result))
    page.write(path)

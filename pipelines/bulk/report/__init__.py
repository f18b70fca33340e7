"""The page of a bulk run: what became of each scene, where, how well, and how to go on."""

from pipelines.bulk.report.write import write_report

__all__ = ["write_report"]

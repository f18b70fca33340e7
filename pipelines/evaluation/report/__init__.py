"""The evaluation's report: which method is best for these images, and whether that can be believed."""

from pipelines.evaluation.report.write import write_report

__all__ = ["write_report"]

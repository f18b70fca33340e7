"""What an evaluation leaves behind: rows and failures in the output, and all of it in its MLflow run."""

import csv
import io
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.evaluation.opening import OpenEvaluation
from pipelines.evaluation.report import write_report
from pipelines.evaluation.result import EvaluationResult, Failure, to_records
from pipelines.evaluation.summary import summarise
from pipelines.tracking.run import Run
from rssr.configuration import config_digest

_NO_METRIC_NAME = re.compile(r"[^\w .:/-]")  # MLflow's rule
_FAILURE_COLUMNS = ("dataset", "key", "scale", "method", "reason")
_NOT_WHAT_IS_FOUND = ("fresh", "ray", "mlflow", "output", "num_workers", "promote", "worker")


@dataclass(frozen=True)
class Outputs:
    """Where everything lies.

    Attributes:
        rows: Parquet file, one row an image, scale and method.
        failures: CSV file of what is not among the rows.
        report: The page.
    """

    rows: str
    failures: str
    report: str


def evaluation_key(evaluation: OpenEvaluation) -> str:
    """SHA-256 of what is evaluated; settings that change where things go, but not what is found, play no part."""
    values = evaluation.config.model_dump(mode="json", exclude=set(_NOT_WHAT_IS_FOUND))
    values |= {"device": evaluation.task.device, "num_threads": evaluation.task.num_threads}
    methods = [(method.config.name, method.runnable.identity) for method in evaluation.methods]
    return config_digest(values, methods, [dataset.facts.digest for dataset in evaluation.datasets])


def log_inputs(run: Run, evaluation: OpenEvaluation) -> None:
    """Record configuration, images and models with a run."""
    run.log_config(evaluation.config)
    for dataset in evaluation.datasets:
        run.log_dataset(dataset.facts.name, dataset.facts.digest, dataset.facts.uri, context="evaluation")
        run.set_tags({f"rssr.manifest.{_plain(dataset.facts.name)}": dataset.facts.manifest})
    for method in evaluation.methods:
        if method.facts.digest:
            run.set_tags({f"rssr.model.{_plain(method.facts.name)}": method.facts.digest})


def log_figures(run: Run, result: EvaluationResult) -> None:
    """Record the figures of the table as `evaluation/DATASET/xSCALE/METHOD/COLUMN`."""
    figures = {
        _plain(f"evaluation/{block.dataset}/x{block.scale:g}/{row.method}/{name}"): cell.value
        for block in summarise(result).blocks
        for row in block.rows
        for name, cell in row.cells.items()
    }
    run.log_metrics(figures)


def store_outputs(evaluation: OpenEvaluation, result: EvaluationResult, run: Run) -> Outputs:
    """Write rows, failures and the report, and hand them to the run as artifacts."""
    home, folder = evaluation.home, f"evaluations/{evaluation_key(evaluation)[:16]}"
    with tempfile.TemporaryDirectory(prefix="rssr-evaluation-") as name:
        work = Path(name)
        pq.write_table(pa.Table.from_pylist(to_records(result.rows)), work / "rows.parquet")
        (work / "failures.csv").write_text(_table_of(result.failures), encoding="utf-8")
        for path in (work / "rows.parquet", work / "failures.csv", work / "report.html"):
            if not path.exists():
                write_report(result, path)  # last: figures are there whatever the page comes to
            home.upload_file(path, f"{folder}/{path.name}")
            run.log_artifact(path)
    rows, failures, report = (
        home.describe(f"{folder}/{part}") for part in ("rows.parquet", "failures.csv", "report.html")
    )
    return Outputs(rows, failures, report)


def _table_of(failures: Sequence[Failure]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_FAILURE_COLUMNS)
    writer.writerows([getattr(failure, name) for name in _FAILURE_COLUMNS] for failure in failures)
    return text.getvalue()


def _plain(name: str) -> str:
    """As MLflow takes it."""
    return _NO_METRIC_NAME.sub("_", name)

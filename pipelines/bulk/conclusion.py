"""The end of a bulk run: proof, tables, page, and what to tell."""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipelines.bulk.commands import command_line
from pipelines.bulk.commits.ledger import Ledger
from pipelines.bulk.commits.verify import Check, delete_work, verify_run
from pipelines.bulk.config import BulkConfig
from pipelines.bulk.planning.identity import begun_run
from pipelines.bulk.planning.models import load_card
from pipelines.bulk.planning.plan_files import read_plan
from pipelines.bulk.records import FAILURES_KEY, LEDGER_TABLE, REPORT_KEY, PlannedScene, SceneRecord
from pipelines.bulk.report import write_report
from pipelines.bulk.result import BulkResult
from pipelines.machine import describe_machine
from pipelines.progress import Progress
from pipelines.storage import Store
from pipelines.timestamps import timestamp
from rssr.errors import DataError, ExitCode, RssrError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Conclusion:
    """How a run stands when its command ends.

    Attributes:
        result: All of it, as the page shows it.
        places: Where things lie, by what they are.
        next_commands: What to type next.
    """

    result: BulkResult
    places: Mapping[str, str]
    next_commands: Sequence[str]

    @property
    def status(self) -> ExitCode:
        """Done, or completed with failures: a scene without a good product, or a problem that verification found."""
        is_whole = all(scene.outcome == "done" for scene in self.result.scenes)
        return ExitCode.DONE if is_whole and not self.result.verification else ExitCode.COMPLETED_WITH_FAILURES


def conclude(
    config: BulkConfig,
    output: Store,
    planned: Sequence[PlannedScene],
    started_at: datetime,
    check: Check | None = None,
) -> Conclusion:
    """Verify what lies in the output, and write tables and page.

    Args:
        config: Of the command.
        output: Of the run.
        planned: All its scenes.
        started_at: When the command began.
        check: Reads products for verification; None does it in this process.

    Raises:
        DataError: The output holds no run.
        StorageError: The output fails.
    """
    identity = begun_run(output)
    if identity is None:
        raise DataError(f"{output.uri} holds no run.", "Leave verify_only out to begin one.")
    ledger = Ledger(output)
    problems = _verified(output, check, keep_work=config.keep_work) if config.verify else None
    records = ledger.read_all()
    result = BulkResult(
        identity,
        planned,
        records,
        config,
        problems,
        card=load_card(identity, output),
        thumbnails=lambda record: _thumbnail(output, record),
        started_at=timestamp(started_at),
        ended_at=timestamp(),
        hardware=describe_machine("cpu"),
    )
    ledger.write_table(records.values())
    ledger.write_failures(records.values())
    _store_report(result, output)
    return Conclusion(result, _places(output), _next_commands(config, result))


def _verified(output: Store, check: Check | None, *, keep_work: bool) -> list[str]:
    """What verification found wrong; where that is nothing, windows have done their duty."""
    with Progress("scenes verified") as progress:
        verification = verify_run(output, read_plan(output), progress.update, check)
    for warning in verification.warnings:
        log.warning("%s", warning)
    if verification.is_sound and not keep_work:
        delete_work(output, verification)
    return [str(problem) for problem in verification.problems]


def _store_report(result: BulkResult, output: Store) -> None:
    with tempfile.TemporaryDirectory(prefix="rssr-report-") as name:
        path = Path(name) / "report.html"
        write_report(result, path)
        output.upload_file(path, REPORT_KEY)


def _thumbnail(output: Store, record: SceneRecord) -> bytes | None:
    keys = [file.key for file in record.files if file.role == "thumbnail"]
    try:
        return output.read_bytes(keys[0]) if keys else None
    except RssrError as error:
        log.warning("The page does without a thumbnail: %s", error)
        return None


def _places(output: Store) -> dict[str, str]:
    return {
        "products": output.uri,
        "report": output.describe(REPORT_KEY),
        "ledger": output.describe(LEDGER_TABLE),
        "failures": output.describe(FAILURES_KEY),
    }


def _next_commands(config: BulkConfig, result: BulkResult) -> list[str]:
    commands = [command_line(config, "verify_only=true")]
    if any(scene.outcome in ("failed", "partial", "refused") for scene in result.scenes):
        commands.insert(0, command_line(config, "retry_failed=true"))
    return commands

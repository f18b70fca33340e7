"""Whether a run stays within what it may cost, last and take of a disk."""

import logging
import shutil
import tempfile
from pathlib import Path

from pipelines.estimate.config import PlanConfig
from pipelines.estimate.console import bytes_text, duration_text
from pipelines.estimate.estimate import Estimate
from pipelines.storage import local_path
from rssr.errors import Refused

log = logging.getLogger(__name__)


def check_limits(estimate: Estimate, config: PlanConfig) -> None:
    """Refuse what is over budget, time or disk, by the usual figures; say where only the slow ones are.

    Raises:
        Refused: With the figures, and what would do.
    """
    problems = [*_money(estimate, config), *_time(estimate, config), *_disk(estimate, config)]
    if problems:
        raise Refused(" ".join(problems))


def warn_of_full_disks(estimate: Estimate, config: PlanConfig) -> None:
    """Say where this machine's disks are too small for what would be written to them."""
    needed = estimate.totals.scratch_bytes.usual
    output, temporary = local_path(config.output.uri), tempfile.gettempdir()
    if config.plan.imagined is not None:
        return
    if output is None:
        free = shutil.disk_usage(temporary).free
        if config.plan.disk_bytes is None and needed > free:
            log.warning(
                "The largest product needs %s of local disk while it is written, but %s has %s free.",
                bytes_text(needed),
                temporary,
                bytes_text(free),
            )
    else:
        wanted = estimate.totals.product_bytes.usual + estimate.chosen.work_bytes + needed
        free = shutil.disk_usage(_existing(output)).free
        if wanted > free:
            log.warning(
                "Products, computed windows and one product in the making take %s, but %s has %s free.",
                bytes_text(wanted),
                output,
                bytes_text(free),
            )


def _money(estimate: Estimate, config: PlanConfig) -> list[str]:
    chosen, budget, currency = estimate.chosen, config.plan.budget, config.plan.currency
    if chosen.money is None or budget is None:
        return []
    if chosen.money.usual > budget:
        return [
            f"The run would cost {chosen.money.usual:,.2f} {currency} with {chosen.num_workers} workers "
            f"({chosen.money.low:,.2f} to {chosen.money.high:,.2f}), more than plan.budget={budget:g}."
        ]
    if chosen.money.high > budget:
        log.warning("With the slowest rates measured it would cost %.2f %s, over budget.", chosen.money.high, currency)
    return []


def _time(estimate: Estimate, config: PlanConfig) -> list[str]:
    chosen, longest = estimate.chosen, config.plan.max_hours
    if longest is None:
        return []
    if chosen.hours.usual > longest:
        enough = next((found for found in estimate.table if found.hours.usual <= longest), None)
        if enough is None:
            remedy = "None of the numbers of workers that were compared is enough."
        else:
            remedy = f"{enough.num_workers} workers would take {duration_text(enough.hours.usual)}."
        return [
            f"The run would take {duration_text(chosen.hours.usual)} with {chosen.num_workers} workers "
            f"({duration_text(chosen.hours.low)} to {duration_text(chosen.hours.high)}), longer than "
            f"plan.max_hours={longest:g}. {remedy}"
        ]
    if chosen.hours.high > longest:
        log.warning("With the slowest rates measured it would take %s, too long.", duration_text(chosen.hours.high))
    return []


def _disk(estimate: Estimate, config: PlanConfig) -> list[str]:
    needed, there = estimate.totals.scratch_bytes.usual, config.plan.disk_bytes
    if there is None or needed <= there:
        return []
    return [
        f"The largest product needs {bytes_text(needed)} of local disk while it is written, more than "
        f"plan.disk_bytes={there} ({bytes_text(there)})."
    ]


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())

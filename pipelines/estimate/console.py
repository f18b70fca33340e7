"""The estimate as plain text, for a terminal."""

import math
import textwrap
from collections.abc import Callable

from pipelines.estimate.config import PlanConfig
from pipelines.estimate.estimate import Estimate, Range, WithWorkers
from pipelines.estimate.scaling import MOST_WORKERS, WORTH_IT
from pipelines.estimate.speed import Spread
from pipelines.progress import printable
from rssr.plain_table import format_table

_WIDTH = 118
_NUM_REFUSED = 5  # told by name
_DRIVER = {"plan": "planning"}
_WORDS = {
    "driver": "the driver, which hands out work",
    "input": "bandwidth of the scenes' store",
    "fetch": "bandwidth of the output, reading",
    "upload": "bandwidth of the output, writing",
    "requests": "objects a second that the output takes",
    "plan": "planning, by the driver alone",
    "end": "the end: too little work is left for all",
    "": "nothing",
}


def estimate_text(estimate: Estimate, config: PlanConfig) -> str:
    """Everything that someone at a terminal wants to know, a blank line between its parts.

    Args:
        estimate: Of the run.
        config: What it was estimated for.
    """
    parts = [
        f"Estimate of a run that was not started: {config.model} x{config.scale:g} to {config.output.uri}",
        _what_there_is(estimate),
        _refused(estimate),
        _what_it_takes(estimate, config),
        _table(estimate, config),
        _limits(estimate) if config.plan.simulate else "",
        _basis(estimate, config),
    ]
    return "\n\n".join(part for part in parts if part)


def duration_text(hours: float) -> str:
    """E.g. `42 s`, `17 min`, `3.5 h`, `12 days`, `3 years`."""
    if hours < 1 / 60:
        return f"{hours * 3600:.2g} s"
    if hours < 2:
        return f"{hours * 60:.3g} min"
    if hours < 96:
        return f"{figure_text(hours)} h"
    days = hours / 24
    return f"{figure_text(days)} days" if days < 1000 else f"{figure_text(days / 365.25)} years"


def bytes_text(num_bytes: float) -> str:
    """E.g. `3.21 GB`: powers of 1000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{figure_text(num_bytes)} PB"


def _what_there_is(estimate: Estimate) -> str:
    totals, chosen = estimate.totals, estimate.chosen
    rows = [
        ["scenes", f"{totals.num_scenes:,}" + (f", and {len(totals.refused)} refused" if totals.refused else "")],
        ["windows", f"{totals.num_windows:,}"],
        ["tiles", f"{totals.num_tiles:,}"],
        ["LR pixels", _count(totals.lr_pixels)],
        ["SR pixels", _count(totals.sr_pixels)],
        ["area", f"{figure_text(totals.area_km2)} km2" if totals.area_km2 else "unknown"],
        ["scenes, stored", f"{bytes_text(totals.input_bytes)}; {bytes_text(totals.read_bytes)} are read of them"],
        [
            "products",
            f"{_range(totals.product_bytes, bytes_text)}; {bytes_text(totals.product_raw_bytes)} uncompressed",
        ],
        ["below _work/", f"{bytes_text(chosen.work_bytes)} at a time, at most, with {_workers(chosen.num_workers)}"],
        ["local disk", f"{_range(totals.scratch_bytes, bytes_text)} a worker, for the largest product"],
    ]
    return format_table(rows)


def _refused(estimate: Estimate) -> str:
    refused = estimate.totals.refused
    if not refused:
        return ""
    lines = [f"Refused: {len(refused)}"]
    lines += [f"  {printable(one.name)}: {one.reason}" for one in refused[:_NUM_REFUSED]]
    return "\n".join(lines + (["  ..."] if len(refused) > _NUM_REFUSED else []))


def _what_it_takes(estimate: Estimate, config: PlanConfig) -> str:
    unit, worker = ("GPU", config.worker.num_gpus) if estimate.accelerated else ("CPU", config.worker.num_cpus)
    hours = Range(
        *(
            worker * each
            for each in (estimate.worker_hours.low, estimate.worker_hours.usual, estimate.worker_hours.high)
        )
    )
    driver = " and ".join(f"{_DRIVER[name]} {duration_text(each)}" for name, each in estimate.driver_hours.items())
    shares = ", ".join(f"{name} {share:.0%}" for name, share in estimate.shares.items() if share >= 0.005)
    chosen = estimate.chosen
    lines = [
        f"{_range(hours, figure_text)} {unit}-hours of work: {shares}",
        f"before it, by the driver alone: {driver}",
        f"{_range(chosen.hours, duration_text)} with {_workers(chosen.num_workers)}"
        + (f", for {_range(chosen.money, figure_text)} {config.plan.currency}" if chosen.money is not None else ""),
    ]
    return "\n".join(line for text in lines for line in textwrap.wrap(text, _WIDTH))


def _table(estimate: Estimate, config: PlanConfig) -> str:
    header = ["WORKERS", "TIME", "FROM", "TO", "SCENES/H", "AT WORK"]
    has_price = config.plan.price_per_hour is not None
    rows = [[*header, *([config.plan.currency] if has_price else []), "THE REST IS LOST TO"]]
    rows += [_row(found) for found in estimate.table]
    return format_table(rows, right=range(6 + has_price))


def _row(found: WithWorkers) -> list[str]:
    money = [] if found.money is None else [figure_text(found.money.usual)]
    times = [duration_text(each) for each in (found.hours.usual, found.hours.low, found.hours.high)]
    return [
        str(found.num_workers),
        *times,
        figure_text(found.scenes_per_hour),
        f"{math.floor(100 * found.efficiency + 1e-6)} %",
        *money,
        _WORDS[found.lost_to],
    ]


def _limits(estimate: Estimate) -> str:
    lines = []
    for name, number in sorted(estimate.most_at_once.items(), key=lambda item: item[1]):
        verb = "take as long for all the rest as" if name in _DRIVER else "keep busy:"
        lines.append(f"  {figure_text(number)} workers {verb} {_WORDS[name]}")
    if lines:
        lines.insert(0, "What is shared, and what the driver does alone, bounds how much workers gain:")
    limit = estimate.limit
    if limit is None:
        lines.append(f"With up to {MOST_WORKERS:,} workers at least {WORTH_IT:.0%} of their time is work.")
        return "\n".join(lines)
    lost = ", ".join(f"{name} {share:.0%}" for name, share in limit.lost_shares.items() if share >= 0.005)
    lines.append(
        f"From about {limit.num_workers:,} workers on less than {WORTH_IT:.0%} of their time is work: "
        f"{figure_text(limit.scenes_per_hour)} scenes an hour, {duration_text(limit.hours.usual)}. Lost to: {lost}."
    )
    return "\n".join(lines)


def _basis(estimate: Estimate, config: PlanConfig) -> str:
    model, stores = estimate.rates.model, estimate.rates.stores
    rates = [
        f"{figure_text(model.tile_s.middle)} s a tile of {model.settings.tile_size} pixels ({_how_sure(model.tile_s)})",
        f"{figure_text(model.finish_values_per_s.middle / 1e6)} million values finished and compressed a second",
        f"scenes read at {bytes_text(stores.input_bytes_per_s.middle)}/s",
        f"output written at {bytes_text(stores.upload_bytes_per_s.middle)}/s",
        f"and read at {bytes_text(stores.fetch_bytes_per_s.middle)}/s",
        f"an object committed in {stores.commit_s.middle:.2g} s",
    ]
    if stores.dispatch_s is not None:
        rates.append(f"work handed out in {stores.dispatch_s.middle * 1000:.2g} ms")
    text = (
        f"From rates of one worker on {model.machine}, {model.measured_at}: {'; '.join(rates)}. FROM and TO are with "
        "the fastest and the slowest of all measurements. All workers are taken to be like that one, and to have "
        f"their own {config.worker.num_threads} core{'s' * (config.worker.num_threads != 1)}; starting them is not "
        "counted, nor are retries. Tiles without data are skipped, and are counted here."
    )
    return "\n".join(textwrap.wrap(text, _WIDTH))


def _how_sure(found: Spread) -> str:
    return "measured once" if found.count == 1 else f"{found.low:.3g} to {found.high:.3g}, {found.count} times"


def _range(found: Range, text: Callable[[float], str]) -> str:
    low, usual, high = text(found.low), text(found.usual), text(found.high)
    return usual if low == usual == high else f"{usual} ({low} to {high})"


def _workers(number: int) -> str:
    return f"{number:,} worker{'s' * (number != 1)}"


def _count(number: float) -> str:
    """E.g. `2.25 million`."""
    for factor, unit in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million")):
        if number >= factor:
            return f"{figure_text(number / factor)}{unit}"
    return f"{number:,.0f}"


def figure_text(value: float) -> str:
    """Three digits, without exponents."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

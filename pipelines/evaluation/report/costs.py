"""What quality costs: time, parameters, arithmetic and memory."""

import math
from collections.abc import Iterable
from statistics import fmean

from pipelines.evaluation.findings import Findings, listed, titled
from pipelines.report import Axis, Bubble, Column, Part, bubbles, prose, table
from pipelines.report.table import Cell
from rssr.metrics.spec import MetricSpec

_MEGA, _GIBI = 1e6, 2**30
_MOST_SCALES = 2  # of which there is a drawing


def costs(found: Findings) -> Iterable[Part]:
    """Quality against time as bubbles, and all costs as a table."""
    hardware = found.result.hardware
    yield prose(f"Times are of this machine alone: {hardware}." if hardware else "The machine is not stated.")
    for scale in found.result.scales[:_MOST_SCALES]:
        for spec in _drawn(found):
            yield from _bubbles(found, spec, scale)
    yield from _not_drawn(found)
    yield _table(found)
    yield prose(
        "Time is that of super-resolution alone, as the mean over images, which may differ in size; beside it with "
        "reading, decoding and degrading. Multiply-accumulates are for an output of 512 by 512 pixels. Peak memory is "
        "what super-resolving one image took above what was there before."
    )


def _drawn(found: Findings) -> list[MetricSpec]:
    """The metric that ranks, and the first one of the other direction: fidelity beside looks."""
    first = found.ranking
    if first is None:
        return []
    other = [spec for spec in found.quality if spec.direction != first.direction]
    return [first, *other[:1]]


def _bubbles(found: Findings, spec: MetricSpec, scale: float) -> Iterable[Part]:
    points = []
    for facts in found.result.methods:
        values = found.pairing.values(facts.name, spec.name, scale)
        seconds = found.seconds(facts.name, scale)
        quality = fmean(values.values()) if values else math.nan
        size = "" if facts.num_parameters is None else f", {facts.num_parameters / _MEGA:.3g} M"
        time = math.nan if seconds is None else seconds
        points.append(Bubble(f"{facts.name}{size}", time, quality, facts.num_parameters))
    if sum(math.isfinite(point.x) and math.isfinite(point.y) for point in points) < 2:
        return
    title = f"{spec.title} against time at scale {scale:g}: best at the top left"
    x, y = Axis("seconds an image", is_log=True), Axis(titled(spec), is_reversed=spec.direction == "lower")
    yield bubbles(points, title, x, y, "number of parameters, millions (M) beside the names")


def _not_drawn(found: Findings) -> Iterable[Part]:
    timed = {row.method for row in found.result.rows if math.isfinite(row.seconds)}
    unknown = [name for name in found.methods if name not in timed]
    without = [facts.name for facts in found.result.methods if facts.num_parameters is None and facts.name in timed]
    if without:
        yield prose(f"A point alone: no parameters, or their number is unknown ({listed(without)}).")
    if unknown:
        yield prose(f"Not drawn, because nothing was run: {listed(unknown)}.")


def _table(found: Findings) -> Part:
    columns = [
        Column("method", "Method"),
        *(Column(f"{scale:g}", f"Scale {scale:g}: s an image", None, 3) for scale in found.result.scales),
        *(Column(f"{scale:g} io", "with reading, s", None, 3) for scale in found.result.scales[:1]),
        Column("parameters", "Parameters, M", None, 2),
        Column("gmacs", "Multiply-accumulates, G", None, 1),
        Column("memory", "Peak memory, GiB", None, 2),
    ]
    rows: list[dict[str, Cell]] = []
    for facts in found.result.methods:
        row: dict[str, Cell] = {
            "method": facts.name,
            "parameters": None if facts.num_parameters is None else facts.num_parameters / _MEGA,
            "gmacs": facts.gmacs,
            "memory": None if facts.peak_bytes is None else facts.peak_bytes / _GIBI,
        }
        row |= {f"{scale:g}": found.seconds(facts.name, scale) for scale in found.result.scales}
        first = found.result.scales[0]
        row[f"{first:g} io"] = found.seconds(facts.name, first, with_io=True)
        rows.append(row)
    return table(columns, rows)

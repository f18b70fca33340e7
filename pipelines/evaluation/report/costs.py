"""What quality costs: time, parameters, arithmetic and memory."""

from collections.abc import Iterable
from statistics import fmean

from pipelines.evaluation.report.found import Findings, listed, titled
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
    points, unknown = [], []
    for facts in found.result.methods:
        values = found.pairing.values(facts.name, spec.name, scale)
        seconds = found.seconds(facts.name, scale)
        if values and seconds is not None:
            points.append(Bubble(facts.name, seconds, fmean(values.values()), facts.num_parameters))
        elif values:
            unknown.append(facts.name)
    if len(points) < 2:
        return
    better = "top left" if len(points) > 1 else ""
    title = f"{spec.title} against time at scale {scale:g}: best at the {better}"
    x, y = Axis("seconds an image", is_log=True), Axis(titled(spec), is_reversed=spec.direction == "lower")
    yield bubbles(points, title, x, y, "parameters; a point alone has none, or their number is unknown")
    if unknown:
        yield prose(f"Not drawn, because nothing was run: {listed(unknown)}.")


def _table(found: Findings) -> Part:
    columns = [
        Column("method", "Method"),
        *(Column(f"{scale:g}", f"Scale {scale:g}: s an image", "lowest", 3) for scale in found.result.scales),
        *(Column(f"{scale:g} io", "with reading, s", None, 3) for scale in found.result.scales[:1]),
        Column("parameters", "Parameters, M", "lowest", 2),
        Column("gmacs", "Multiply-accumulates, G", "lowest", 1),
        Column("memory", "Peak memory, GiB", "lowest", 2),
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

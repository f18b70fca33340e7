"""Each method against the reference, image by image."""

from collections.abc import Iterable, Sequence

from pipelines.evaluation.findings import Findings, Place, percent, titled
from pipelines.evaluation.pairing import Comparison
from pipelines.report import Column, Estimate, Part, histogram, prose, table
from pipelines.report.table import Cell
from rssr.metrics.spec import MetricSpec


def against(found: Findings) -> Iterable[Part]:
    """Differences from the reference with their intervals, and how they are spread."""
    reference = found.result.reference
    yield prose(
        f"The mean over images of a method's value minus that of {reference} on the same image, the 95 % interval of "
        "that mean, and on how many of the images the method is the better one (ties count half). Where the interval "
        "leaves zero out the difference is called better or worse; otherwise the two cannot be told apart by it."
    )
    for place in found.places:
        yield differences(found, place, found.quality)
    yield from _spread(found)


def differences(found: Findings, place: Place, specs: Sequence[MetricSpec]) -> Part:
    """All methods but the reference beside it, at one place."""
    columns = [Column("method", "Method")]
    columns += [
        Column(spec.name, f"{titled(spec)} {'↑' if spec.direction == 'higher' else '↓'}", None, found.digits(spec.name))
        for spec in specs
    ]
    rows: list[dict[str, Cell]] = [
        {"method": name, **{spec.name: _cell(found, place, name, spec) for spec in specs}}
        for name in found.methods
        if name != found.result.reference and any(row.method == name for row in found.rows_at(place))
    ]
    return table(columns, rows, f"{place.title}: beside {found.result.reference}")


def _cell(found: Findings, place: Place, name: str, spec: MetricSpec) -> Estimate | None:
    comparison = found.compare(spec.name, (name, found.result.reference), place)
    difference = comparison.difference
    if difference is None:
        return None
    note = f"{_judged(comparison)}, won {percent(comparison.share_won)}"
    return Estimate(difference.mean, difference.low, difference.high, note, is_signed=True)


def _judged(comparison: Comparison) -> str:
    return "better" if comparison.is_better else "worse" if comparison.is_worse else "no clear difference"


def _spread(found: Findings) -> Iterable[Part]:
    """By how much the leader, or where it is the reference the next one, differs on each image."""
    spec = found.ranking
    standing = None if spec is None else found.standing(spec.name)
    reference = found.result.reference
    if spec is None or standing is None or not standing.beside or reference not in standing.ranked:
        return
    method = next(name for name in standing.ranked if name != reference)
    sign = 1 if spec.direction == "higher" else -1
    gains: list[float] = []
    for scale in found.result.scales:
        mine, theirs = (found.pairing.values(name, spec.name, scale) for name in (method, reference))
        gains += [sign * (mine[image] - theirs[image]) for image in sorted(mine.keys() & theirs.keys())]
    label = f"by how much {method} is better, {spec.title}{f', {spec.unit}' if spec.unit else ''}"
    title = f"{method} beside {reference}, image by image"
    counted = "images" if len(found.result.scales) == 1 else "images, at each scale"
    yield histogram(gains, title, label, counted, (0.0, f"{reference} better", f"{method} better"))

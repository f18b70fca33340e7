"""The result as rows of a table: means with intervals, costs, who is ahead, and each method against the reference."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pipelines.evaluation.findings import Findings, Place
from pipelines.evaluation.pairing import POOLED, Comparison
from pipelines.evaluation.published import PARAMETERS, SECONDS
from pipelines.evaluation.result import EvaluationResult, MethodFacts
from rssr.metrics.spec import Direction, MetricSpec

SECONDS_WITH_IO = "seconds_with_io"
GMACS = "gmacs"
PEAK_MB = "peak_mb"

_MEGA, _MEBI = 1e6, 2**20


@dataclass(frozen=True)
class SummaryColumn:
    """A column of figures.

    Attributes:
        name: Of the metric or cost.
        title: Heading, with the unit.
        direction: Which way is better.
        metric: The metric; None for a cost.
    """

    name: str
    title: str
    direction: Direction
    metric: MetricSpec | None = None


@dataclass(frozen=True)
class SummaryCell:
    """A figure; where there is none, there is no cell.

    Attributes:
        value: Mean over the images, or of the whole set, or of the method.
        low: Lower end of its 95 % interval; NaN where there is none.
        high: Upper end.
        num_images: Images that it is of; 0 where it is of the method alone.
        warning: Why it should not be trusted; empty where it may be.
        is_best: Whether no method's figure in the column is better, and some method's is worse.
        is_winner: Whether it is best, and clearly so by the paired interval against every other method.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    num_images: int = 0
    warning: str = ""
    is_best: bool = False
    is_winner: bool = False


@dataclass(frozen=True)
class SummaryRow:
    """One method on one dataset at one scale.

    Attributes:
        method: Name of the method.
        num_images: Images that it has results for.
        cells: Figures by column.
    """

    method: str
    num_images: int
    cells: Mapping[str, SummaryCell]


@dataclass(frozen=True)
class SummaryBlock:
    """All methods on one dataset at one scale.

    Attributes:
        dataset: Name of the dataset, or `POOLED`.
        scale: HR/LR size ratio.
        num_images: Images that any method has results for.
        rows: One a method, in the order of the configuration.
        against: Each other method against the reference, for each metric of single images.
    """

    dataset: str
    scale: float
    num_images: int
    rows: tuple[SummaryRow, ...]
    against: tuple[Comparison, ...]


@dataclass(frozen=True)
class Summary:
    """The whole table.

    Attributes:
        columns: Metrics in the order of the configuration, then costs; those without any figure are left in, so that a
            gap shows.
        blocks: By dataset and scale, and where there are several datasets one a scale over all of them, by image.
    """

    columns: tuple[SummaryColumn, ...]
    blocks: tuple[SummaryBlock, ...]


_COSTS = (
    SummaryColumn(SECONDS, "s/image", "lower"),
    SummaryColumn(SECONDS_WITH_IO, "s/image with I/O", "lower"),
    SummaryColumn(PARAMETERS, "param., M", "lower"),
    SummaryColumn(GMACS, "GMACs", "lower"),
    SummaryColumn(PEAK_MB, "peak, MB", "lower"),
)


def summarise(result: EvaluationResult) -> Summary:
    """Make the table of a result. The same result gives the same table."""
    found = Findings(result)
    places = list(found.places)
    if len({place.dataset for place in places}) > 1:
        places += [Place(POOLED, scale) for scale in result.scales]
    columns = tuple(SummaryColumn(spec.name, _titled(spec), spec.direction, spec) for spec in result.metrics) + _COSTS
    return Summary(columns, tuple(_block(found, place, columns) for place in places))


def _block(found: Findings, place: Place, columns: Sequence[SummaryColumn]) -> SummaryBlock:
    rows = [row for row in found.result.rows if row.scale == place.scale and place.dataset in (POOLED, row.dataset)]
    images = {name: {(row.dataset, row.key) for row in rows if row.method == name} for name in found.methods}
    present = [facts for facts in found.result.methods if images[facts.name]]
    cells: dict[str, dict[str, SummaryCell]] = {facts.name: {} for facts in present}
    for column in columns:
        held = {facts.name: _cell(found, place, column, facts) for facts in present}
        for name, cell in _marked(found, place, column, {n: c for n, c in held.items() if c is not None}).items():
            cells[name][column.name] = cell
    return SummaryBlock(
        place.dataset,
        place.scale,
        len(set().union(*images.values())),
        tuple(SummaryRow(name, len(images[name]), held) for name, held in cells.items()),
        tuple(_against(found, place, list(cells))),
    )


def _cell(found: Findings, place: Place, column: SummaryColumn, facts: MethodFacts) -> SummaryCell | None:
    if column.metric is None:
        value = _cost(found, place, column.name, facts)
        return None if value is None else SummaryCell(value)
    if column.metric.needs == "set":
        of_set = found.set_value(place, facts.name, column.name)
        return None if of_set is None else SummaryCell(*of_set[4:])
    mean = found.mean(facts.name, column.name, place)
    if mean is None:
        return None
    num_images = len(found.pairing.values(facts.name, column.name, place.scale, place.dataset))
    return SummaryCell(mean.value, mean.low, mean.high, num_images)


def _cost(found: Findings, place: Place, name: str, facts: MethodFacts) -> float | None:
    if name in (SECONDS, SECONDS_WITH_IO):
        mine = [row for row in found.result.rows if row.method == facts.name and row.scale == place.scale]
        here = [row for row in mine if place.dataset in (POOLED, row.dataset)]
        times = [row.seconds if name == SECONDS else row.seconds_with_io for row in here]
        known = [value for value in times if math.isfinite(value)]
        return fmean(known) if known else None
    of_method: dict[str, Callable[[], float | None]] = {
        PARAMETERS: lambda: None if facts.num_parameters is None else facts.num_parameters / _MEGA,
        GMACS: lambda: facts.gmacs,
        PEAK_MB: lambda: None if facts.peak_bytes is None else facts.peak_bytes / _MEBI,
    }
    return of_method[name]()


def _marked(
    found: Findings, place: Place, column: SummaryColumn, cells: Mapping[str, SummaryCell]
) -> dict[str, SummaryCell]:
    """The cells of a column, the best ones marked, and the winner where there is one."""
    values = [cell.value for cell in cells.values()]
    if len(set(values)) < 2:
        return dict(cells)
    best = max(values) if column.direction == "higher" else min(values)
    marked = {}
    for name, cell in cells.items():
        is_best = cell.value == best
        rivals = [other for other in cells if other != name]
        is_winner = is_best and _is_clear(found, place, column.metric, name, rivals)
        marked[name] = SummaryCell(
            cell.value, cell.low, cell.high, cell.num_images, cell.warning, is_best=is_best, is_winner=is_winner
        )
    return marked


def _is_clear(found: Findings, place: Place, metric: MetricSpec | None, name: str, rivals: Sequence[str]) -> bool:
    """Whether a method is clearly better than each other one, image by image; of costs and sets that is not known."""
    if metric is None or metric.needs == "set":
        return False
    return all(found.compare(metric.name, (name, rival), place).is_better for rival in rivals)


def _against(found: Findings, place: Place, methods: Sequence[str]) -> list[Comparison]:
    reference = found.result.reference
    if reference not in methods:
        return []
    specs = [spec for spec in found.result.metrics if spec.needs != "set" and spec.name not in found.result.gaps]
    others = [name for name in methods if name != reference]
    compared = [found.compare(spec.name, (name, reference), place) for spec in specs for name in others]
    return [comparison for comparison in compared if comparison.num_images or comparison.num_left_out]


def _titled(spec: MetricSpec) -> str:
    return f"{spec.title}, {spec.unit}" if spec.unit else spec.title

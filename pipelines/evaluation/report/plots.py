"""The metric that ranks, by dataset, by scale and by class."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from pipelines.evaluation.findings import Findings, Place, counted, titled
from pipelines.report import DotRow, Estimate, Part, curve, dots, folded, prose
from rssr.metrics.spec import MetricSpec

_FEWEST_SCALES = 3  # for a curve over them
_MANY_CLASSES = 12


def by_dataset(found: Findings, spec: MetricSpec) -> Iterable[Part]:
    """Dots with intervals for each dataset and scale, and from three scales on a curve over them."""
    word = "higher" if spec.direction == "higher" else "lower"
    if len(found.places) == 1:
        [place] = found.places
        rows = [
            DotRow(name, {spec.title: value}) for name in found.methods if (value := found.mean(name, spec.name, place))
        ]
    else:
        rows = [
            DotRow(
                place.title,
                {name: value for name in found.methods if (value := found.mean(name, spec.name, place))},
                counted(len({row.key for row in found.rows_at(place)}), "image"),
            )
            for place in found.places
        ]
    title = f"{spec.title}: means with 95 % intervals, {word} is better"
    yield dots(rows, title, titled(spec), found.digits(spec.name), series=_series(found))
    for dataset in dict.fromkeys(place.dataset for place in found.places):
        yield from _over_scales(found, spec, dataset)


def _series(found: Findings) -> tuple[str, ...]:
    """Methods have the same colours in all plots."""
    return found.methods if len(found.methods) > 1 else ()


def _over_scales(found: Findings, spec: MetricSpec, dataset: str) -> Iterable[Part]:
    places = [place for place in found.places if place.dataset == dataset]
    if len(places) < _FEWEST_SCALES:
        return
    series = {}
    for name in found.methods:
        points = [(place.scale, value.value) for place in places if (value := found.mean(name, spec.name, place))]
        series[name] = ([scale for scale, _ in points], [value for _, value in points])
    yield curve(series, f"{spec.title} over the scale, {dataset}", "scale", titled(spec))


def by_class(found: Findings, spec: MetricSpec) -> Iterable[Part]:
    """For each dataset that has classes: which are hard, and where the leader gains or loses beside the reference."""
    places = [place for place in found.places if any(row.class_name is not None for row in found.rows_at(place))]
    if not places:
        return
    yield prose("Classes from the hardest to the easiest for the reference. Few images of a class make wide intervals.")
    for place in places:
        values = _by_class(found, spec, place)
        num_classes = len(values)
        rows = [
            DotRow(
                name,
                {method: mean for method, own in methods.items() if (mean := found.mean_of(list(own.values())))},
                counted(len({key for own in methods.values() for key in own}), "image"),
            )
            for name, methods in _ordered(found, spec, values)
        ]
        title = f"{spec.title} by class, {place.title}"
        plot = dots(rows, title, titled(spec), found.digits(spec.name), series=_series(found))
        yield folded(f"{title}: {num_classes} classes", plot) if num_classes > _MANY_CLASSES else plot
        yield from _gains(found, spec, place, values)


_Values = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By class, method and image."""


def _by_class(found: Findings, spec: MetricSpec, place: Place) -> _Values:
    values: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    own = {name: found.pairing.values(name, spec.name, place.scale, place.dataset) for name in found.methods}
    for row in found.rows_at(place):
        if (place.dataset, row.key) in own[row.method]:
            values[row.class_name or "no class"][row.method][row.key] = own[row.method][place.dataset, row.key]
    return values


def _ordered(found: Findings, spec: MetricSpec, values: _Values) -> list[tuple[str, Mapping[str, Mapping[str, float]]]]:
    def hardness(item: tuple[str, Mapping[str, Mapping[str, float]]]) -> float:
        own = item[1].get(found.result.reference) or next(iter(item[1].values()))
        return sum(own.values()) / len(own) * (1 if spec.direction == "higher" else -1)

    return sorted(values.items(), key=hardness)


def _gains(found: Findings, spec: MetricSpec, place: Place, values: _Values) -> Iterable[Part]:
    """The leader at a place beside the reference, class by class."""
    standing, reference = found.standing(spec.name, place), found.result.reference
    if standing is None or standing.leader == reference or reference not in standing.ranked:
        return
    rows = []
    for name, methods in _ordered(found, spec, values):
        mine, theirs = methods.get(standing.leader, {}), methods.get(reference, {})
        gains = [mine[key] - theirs[key] for key in mine if key in theirs]
        mean = found.mean_of(gains)
        if mean is not None:
            signed = Estimate(mean.value, mean.low, mean.high, is_signed=True)
            rows.append(DotRow(name, {standing.leader: signed}, counted(len(gains), "image")))
    better = "right" if spec.direction == "higher" else "left"
    title = f"{standing.leader} beside {reference} by class, {place.title}; {better} of the line it is better"
    yield dots(rows, title, f"difference of {titled(spec)}", found.digits(spec.name), 0.0, _series(found))

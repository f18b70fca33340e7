"""How well error bars hold, in words, figures and curves."""

from collections.abc import Iterable, Mapping
from statistics import NormalDist

from pipelines.report.curve import curve
from pipelines.report.table import Column, table
from pipelines.report.templates import Part
from rssr.metrics.coverage import ONE_DEVIATION
from rssr.metrics.reliability import Reliability

_CLOSE = 0.05  # error bars that hold a share of errors this near to what they should are called right
_IDEAL = "Where error bars hold and errors are normal"


def verdict(found: Reliability) -> str:
    """Whether error bars hold on the whole and tell more than a constant would, in words."""
    length = "right" if is_close(found) else "too long" if found.coverage_1 > ONE_DEVIATION else "too short"
    more = "more" if found.likelihood_gain > 0 else "no more"
    return (
        f"Error bars are {length} on the whole ({found.coverage_1:.1%} of the errors lie within one, where "
        f"{ONE_DEVIATION:.1%} should), and tell {more} than one constant error bar for all pixels would."
    )


def is_close(found: Reliability) -> bool:
    """Whether error bars hold nearly the share of errors that they should."""
    return abs(found.coverage_1 - ONE_DEVIATION) <= _CLOSE


def reliability_table(found: Mapping[str, Reliability]) -> Part:
    """The figures, a column for each name, beside what they would be ideally."""
    ideals = (
        ("Errors within one error bar", "coverage_1", ONE_DEVIATION),
        ("Errors within two error bars", "coverage_2", 2 * NormalDist().cdf(2) - 1),
        ("Root of the mean squared error", "rmse", None),
        ("Root of the mean squared error bar", "rms_deviation", None),
        ("Mean relative miscalibration of the groups", "calibration_error", 0.0),
        ("Correlation with absolute errors", "correlation", None),
        ("Log-likelihood above one constant error bar, nats", "likelihood_gain", None),
    )
    columns = [Column("figure", "Figure"), *(Column(f"of {name}", name, digits=3) for name in found)]
    columns.append(Column("ideal", _IDEAL, digits=3))
    rows = [
        {"figure": title, "ideal": ideal, **{f"of {name}": float(getattr(own, field)) for name, own in found.items()}}
        for title, field, ideal in ideals
    ]
    return table(columns, rows)


def reliability_curves(found: Mapping[str, Reliability], unit: str) -> Iterable[Part]:
    """Errors and their share within one error bar, over groups of like error bars, beside the ideal.

    Args:
        found: By name.
        unit: Of errors and error bars.
    """
    deviations = {name: [group.deviation for group in own.bins] for name, own in found.items()}
    ends = [min(min(own) for own in deviations.values()), max(max(own) for own in deviations.values())]
    errors = {name: (deviations[name], [group.rmse for group in own.bins]) for name, own in found.items()}
    shares = {name: (deviations[name], [group.coverage_1 for group in own.bins]) for name, own in found.items()}
    x_label = f"mean error bar, {unit}"
    yield curve(
        {**errors, "ideal": (ends, ends)},
        "Reliability: groups of like error bars",
        x_label,
        f"root of the mean squared error, {unit}",
    )
    ideal = (ends, [ONE_DEVIATION] * len(ends))
    yield curve({**shares, "ideal": ideal}, "Errors within one error bar, by group", x_label, "share of the errors")

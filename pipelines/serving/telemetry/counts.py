"""Counts of many processes added up, and written as Prometheus reads them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from prometheus_client import Metric, generate_latest

SampleKey = tuple[str, tuple[tuple[str, str], ...]]
"""Name of a series and its labels."""

GAUGE = "gauge"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of what `to_text` makes."""

_FORGOTTEN_AFTER_S = 3600.0


@dataclass(frozen=True)
class Family:
    """All series of one metric.

    Attributes:
        name: Without the ending `_total`.
        kind: `counter`, `gauge` or `histogram`.
        about: What it is, for people.
        samples: Values.
    """

    name: str
    kind: str
    about: str
    samples: dict[SampleKey, float]


Counts = list[Family]
"""What one process has counted since it began."""


def add_up(all_counts: Iterable[Counts]) -> Counts:
    """The sum of each series: of counters, of each bucket of histograms, and of gauges, which are numbers of things."""
    families: dict[str, Family] = {}
    for counts in all_counts:
        for family in counts:
            total = families.setdefault(family.name, Family(family.name, family.kind, family.about, {}))
            for key, value in family.samples.items():
                total.samples[key] = total.samples.get(key, 0.0) + value
    return list(families.values())


def without_gauges(counts: Counts) -> Counts:
    """What remains true of a process that has ended: what it did, not what it was doing."""
    return [family for family in counts if family.kind != GAUGE]


def to_text(counts: Counts) -> str:
    """The text that Prometheus scrapes, of `CONTENT_TYPE`."""
    return generate_latest(_Families(counts)).decode()


class _Families:
    """Counts, as the Prometheus library wants to be handed them."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        for family in self._counts:
            metric = Metric(family.name, family.about, family.kind)
            for (name, labels), value in family.samples.items():
                metric.add_sample(name, dict(labels), value)
            yield metric


@dataclass
class CountsOfAll:
    """The latest counts of each process, also of those that have ended: sums never fall while this lives.

    Args:
        clock: Seconds, never falling.
        lost_after_s: A process that has said nothing for so long is no longer there.
    """

    clock: Callable[[], float]
    lost_after_s: float
    _latest: dict[str, tuple[float, Counts]] = field(default_factory=dict, init=False)
    _ended: Counts = field(default_factory=list, init=False)

    def receive(self, process: str, counts: Counts) -> None:
        """A process tells all that it has counted since it began.

        Args:
            process: A name that no other process ever has.
            counts: Replace its earlier ones.
        """
        self._latest[process] = (self.clock(), counts)
        self._fold_old_ones()

    def total(self) -> Counts:
        """Of all processes; gauges of those that are there."""
        since = self.clock() - self.lost_after_s
        parts = [counts if at >= since else without_gauges(counts) for at, counts in self._latest.values()]
        return add_up([*parts, self._ended])

    def _fold_old_ones(self) -> None:
        """Keep one sum of those that will not come back, so that memory is bounded."""
        since = self.clock() - max(_FORGOTTEN_AFTER_S, self.lost_after_s)
        for process in [name for name, (at, _) in self._latest.items() if at < since]:
            _, counts = self._latest.pop(process)
            self._ended = add_up([self._ended, without_gauges(counts)])

    @property
    def num_processes(self) -> int:
        """Those whose counts are still told apart."""
        return len(self._latest)

    @property
    def last_heard_at(self) -> float | None:
        """When any process last said something, by the clock; None for never."""
        return max((at for at, _ in self._latest.values()), default=None)

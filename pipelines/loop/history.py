"""Logged losses and validations of a run, kept in its checkpoints so that curves survive interruptions."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


class History:
    """Means of the loss terms over each logging interval, and the validations.

    Losses and validations are part of the run's state and equal after a resume. Rates (samples per second, share of
    time spent waiting for data) depend on the machine and are reported but not kept.
    """

    def __init__(self) -> None:
        self.losses: list[dict[str, float]] = []
        self.validations: list[dict[str, float]] = []
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._num_bad = 0
        self._num_steps = 0  # by this process since the last interval: for rates, not for means
        self._wait_s = 0.0
        self._since = time.perf_counter()
        self.last_wait_fraction = 0.0

    def add(self, terms: Mapping[str, float], is_good: bool = True) -> None:
        """Take the terms of one step; those of a bad one are counted alone."""
        self._num_steps += 1
        if not is_good:
            self._num_bad += 1
            return
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def add_wait(self, seconds: float) -> None:
        """Take the time that the loop waited for a batch."""
        self._wait_s += seconds

    def log(self, step: int, samples_per_step: int) -> dict[str, float]:
        """Close the interval at `step`; returns its means and rates."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        if self._num_bad:
            means["bad_steps"] = float(self._num_bad)
        self.losses.append({"step": float(step), **means})
        elapsed = max(time.perf_counter() - self._since, 1e-9)
        rates = {
            "samples_per_second": self._num_steps * samples_per_step / elapsed,
            "data_wait_fraction": min(1.0, self._wait_s / elapsed),
        }
        self.last_wait_fraction = rates["data_wait_fraction"]
        self._sums, self._counts, self._num_bad, self._num_steps, self._wait_s = {}, {}, 0, 0, 0.0
        self._since = time.perf_counter()
        return means | rates

    def add_validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take the metrics of a validation."""
        self.validations.append({"step": float(step), **metrics})

    def last_validation(self) -> dict[str, float]:
        """Metrics of the newest validation, without its step; empty before the first."""
        if not self.validations:
            return {}
        return {name: value for name, value in self.validations[-1].items() if name != "step"}

    def validation_at(self, step: int) -> dict[str, float]:
        """Metrics of the validation of a step; empty where that is not the newest one."""
        return self.last_validation() if self.validations and self.validations[-1]["step"] == step else {}

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` restores exactly."""
        return {
            "losses": self.losses,
            "validations": self.validations,
            "sums": self._sums,
            "counts": self._counts,
            "num_bad": self._num_bad,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "History":
        """The history of a checkpoint."""
        history = cls()
        history.losses = list(values["losses"])
        history.validations = list(values["validations"])
        history._sums = dict(values["sums"])
        history._counts = dict(values["counts"])
        history._num_bad = int(values["num_bad"])
        return history


def as_reported(
    losses: Iterable[Mapping[str, float]], validations: Iterable[Mapping[str, float]]
) -> Iterator[tuple[dict[str, float], int]]:
    """Metrics and step of everything in a history, named as it was reported; losses come first."""
    for prefix, rows in (("", losses), ("validation/", validations)):
        for row in rows:
            yield {f"{prefix}{name}": value for name, value in row.items() if name != "step"}, int(row["step"])

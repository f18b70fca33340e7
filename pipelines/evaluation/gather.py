"""From what was found part by part to the whole result, in the order of the configuration."""

import datetime
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipelines.evaluation.opening import OpenEvaluation, own_version
from pipelines.evaluation.parts import Part
from pipelines.evaluation.result import EvaluationResult, Failure, ImageRow, MethodFacts
from pipelines.evaluation.sets import FeatureSets
from pipelines.evaluation.work import OF_ALL_METHODS, Finding
from pipelines.machine import describe_machine
from pipelines.progress import printable
from rssr.configuration import to_yaml
from rssr.metrics.reliability import Reliability, ReliabilityTally

_PACKAGES = ("rssr", "torch", "numpy", "ray", "mlflow", "pyiqa", "pillow", "opencv-python-headless", "scipy")


def gather(evaluation: OpenEvaluation, found: Iterable[tuple[Part, Sequence[Finding]]]) -> EvaluationResult:
    """The result without what is decided or shown of it.

    Args:
        evaluation: What was asked for.
        found: All parts in order.
    """
    gathering = _Gathering(evaluation)
    for part, findings in found:
        scale, dataset = part.jobs[0].scale, part.jobs[0].dataset
        for finding in findings:
            gathering.add(dataset, scale, finding)
    return gathering.result()


class _Gathering:
    """Takes findings in, in order."""

    def __init__(self, evaluation: OpenEvaluation) -> None:
        self._evaluation = evaluation
        self._rows: list[ImageRow] = []
        self._failures: list[Failure] = []
        self._tallies: dict[str, ReliabilityTally] = {}
        self._peaks: dict[str, int] = {}
        self._machines: dict[str, None] = {}
        self._sets = FeatureSets(evaluation.metrics.of_sets, evaluation.config.seed)

    def add(self, number: int, scale: float, finding: Finding) -> None:
        dataset = self._evaluation.task.datasets[number]
        record = dataset.images[finding.image]
        key, method = printable(record.key), finding.method
        of_method = None if method == OF_ALL_METHODS else method
        self._failures += [Failure(dataset.name, key, reason, scale, of_method) for reason in finding.reasons]
        if finding.features is not None:
            self._sets.add((dataset.name, scale), method, key, finding.features)
        if finding.metrics is None:
            return
        times = finding.seconds, finding.seconds_with_io
        self._rows.append(ImageRow(dataset.name, key, record.class_name, scale, method, finding.metrics, *times))
        if finding.peak_bytes is not None:
            self._peaks[method] = max(self._peaks.get(method, 0), finding.peak_bytes)
        if finding.machine:
            self._machines[finding.machine] = None
        if finding.tally:
            self._tallies.setdefault(method, ReliabilityTally()).merge(ReliabilityTally.from_bytes(finding.tally))

    def result(self) -> EvaluationResult:
        evaluation, config = self._evaluation, self._evaluation.config
        set_values, set_failures = self._sets.values()
        return EvaluationResult(
            title=config.title,
            rows=self._rows,
            failures=[*evaluation.failures, *self._told_once(), *set_failures],
            methods=tuple(self._with_peak(method.facts) for method in evaluation.methods),
            datasets=tuple(dataset.facts for dataset in evaluation.datasets),
            scales=evaluation.scales,
            metrics=evaluation.metrics.specs,
            set_values=set_values,
            gaps=evaluation.metrics.gaps,
            shared=evaluation.shared,
            notices=evaluation.notices,
            reliability=self._reliability(),
            reference=evaluation.reference,
            rank_by=evaluation.metrics.rank_by,
            seed=config.seed,
            config=to_yaml(config),
            versions=_versions(),
            hardware=self._hardware(),
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        )

    def _told_once(self) -> list[Failure]:
        """Failures, of which those that an image has at every scale alike are told once."""
        num_scales = {dataset.name: len(dataset.scales) for dataset in self._evaluation.task.datasets}
        alike = Counter(replace(failure, scale=None) for failure in self._failures if failure.method is None)
        told: dict[Failure, None] = {}
        for failure in self._failures:
            whole = replace(failure, scale=None)
            is_everywhere = alike[whole] == num_scales[failure.dataset] > 1 and failure.method is None
            told[whole if is_everywhere else failure] = None
        return list(told)

    def _with_peak(self, facts: MethodFacts) -> MethodFacts:
        return replace(facts, peak_bytes=self._peaks.get(facts.name))

    def _reliability(self) -> dict[str, Reliability]:
        names = [method.config.name for method in self._evaluation.methods]
        return {name: self._tallies[name].result() for name in names if name in self._tallies}

    def _hardware(self) -> str:
        task = self._evaluation.task
        machines = "; ".join(self._machines) or describe_machine("cpu")
        return f"{machines}; {task.num_threads} thread{'s' * (task.num_threads != 1)} a worker"


def _versions() -> dict[str, str]:
    """Of Python and of the libraries that are there."""
    found = {name: own_version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **{name: text for name, text in found.items() if text}}

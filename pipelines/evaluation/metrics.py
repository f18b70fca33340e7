"""Which metrics are measured, which of them cannot be had, and which one ranks."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.evaluation.config import EvaluateConfig
from pipelines.evaluation.task import MeasuringSpec
from rssr.errors import ConfigError
from rssr.metrics.spec import MetricSpec, metric_spec
from rssr.metrics.trust_specs import TRUST_SPECS
from rssr.metrics.weight_files import find_missing, metric_weights_folder
from rssr.weights.missing import MissingWeights
from rssr.weights.official import file_sha256

log = logging.getLogger(__name__)

_FID, _KID = "fid", "kid"


@dataclass(frozen=True)
class ChosenMetrics:
    """What is measured.

    Attributes:
        specs: Of everything that was asked for, in the order of the tables.
        gaps: What cannot be had, with what fetches it.
        rank_by: The metric that says which method is ahead.
        weights: Folder with the weights of learned metrics.
    """

    specs: tuple[MetricSpec, ...]
    gaps: Mapping[str, MissingWeights]
    rank_by: str
    weights: Path

    @property
    def single(self) -> tuple[str, ...]:
        """Those that are measured image by image and can be had."""
        return tuple(spec.name for spec in self.specs if spec.needs != "set" and spec.name not in self.gaps)

    @property
    def of_sets(self) -> tuple[str, ...]:
        """Those of a whole set of images that can be had."""
        return tuple(spec.name for spec in self.specs if spec.needs == "set" and spec.name not in self.gaps)

    def measuring(self, config: EvaluateConfig) -> MeasuringSpec:
        """What workers are told."""
        return MeasuringSpec(
            metrics=self.single,
            features=bool(self.of_sets),
            reliability=config.metrics.trust,
            border=config.metrics.border,
            weights=str(self.weights),
        )

    def weight_digests(self) -> list[str]:
        """SHA-256 of every file of weights that is used, as `NAME=DIGEST`."""
        used = {name for spec in self.specs if spec.name not in self.gaps for name in spec.weights}
        return [f"{name}={file_sha256(self.weights / name)}" for name in sorted(used)]


def check_metrics(config: EvaluateConfig) -> tuple[MetricSpec, ...]:
    """The specs of all that is asked for. FID has KID beside it, whose figure does not depend on the number of images.

    Raises:
        ConfigError: A metric is unknown, or `rank_by` is none that could rank.
    """
    names = [*config.metrics.names, *(spec.name for spec in TRUST_SPECS if config.metrics.trust)]
    if _FID in names and _KID not in names:
        names.insert(names.index(_FID) + 1, _KID)
    specs = tuple(metric_spec(name) for name in dict.fromkeys(names))
    rank_by = config.metrics.rank_by
    if rank_by is not None and rank_by not in {spec.name for spec in specs if spec.needs != "set"}:
        single = ", ".join(spec.name for spec in specs if spec.needs != "set")
        raise ConfigError(
            f"metrics.rank_by is {rank_by}, which is not measured image by image.", f"Choose from: {single}."
        )
    if not any(spec.needs != "set" for spec in specs):
        raise ConfigError("No metric is measured image by image.", "Add one to metrics.names, e.g. psnr_y.")
    return specs


def choose_metrics(config: EvaluateConfig) -> ChosenMetrics:
    """Find out what can be had, and warn of what cannot.

    Raises:
        ConfigError: See `check_metrics`.
    """
    specs = check_metrics(config)
    folder = metric_weights_folder(config.metrics.weights)
    gaps = find_missing([spec.name for spec in specs], config.metrics.weights)
    for name, missing in gaps.items():
        log.warning("%s is left out: %s (%s). Fetch it with `%s`.", name, missing.name, missing.place, missing.command)
    return ChosenMetrics(specs, gaps, _ranking(config, specs, gaps), folder)


def _ranking(config: EvaluateConfig, specs: tuple[MetricSpec, ...], gaps: Mapping[str, MissingWeights]) -> str:
    """The metric asked for, or the first; another one where its weights are missing."""
    single = [spec.name for spec in specs if spec.needs != "set"]
    wanted = config.metrics.rank_by or single[0]
    if wanted not in gaps:
        return wanted
    there = next((name for name in single if name not in gaps), wanted)
    if there != wanted:
        log.warning("%s ranks in place of %s", there, wanted)
    return there

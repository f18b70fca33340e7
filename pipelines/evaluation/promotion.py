"""Whether a candidate has earned to be champion, and the alias moved where it has.

It has where it is better on the stated metric and the paired 95 % interval leaves zero out. How all datasets and scales
are combined: for each image the difference between the two models is averaged over the scales, and the interval is
that of the mean over the images of all datasets, so that an image counts once and a dataset by its number of images.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.evaluation.config import MethodConfig
from pipelines.evaluation.pairing import Comparison, Pairing
from pipelines.evaluation.result import EvaluationResult
from pipelines.tracking.champion import REASON_TAG, Contenders, replace_champion
from pipelines.tracking.registry import CANDIDATE, CHAMPION, tag_version
from pipelines.tracking.run import Run
from rssr.errors import ConfigError, Refused
from rssr.metrics.spec import MetricSpec

log = logging.getLogger(__name__)

Outcome = Literal["first", "moved", "kept", "refused"]

_TAG = "rssr.promotion."


@dataclass(frozen=True)
class Decision:
    """What an evaluation decided about `champion`.

    Attributes:
        outcome: The candidate is the `first` champion, the alias `moved` to it, it was `kept` because the candidate is
            champion already, or moving it was `refused`.
        reason: In words.
        overall: Candidate against champion over everything; None where there was nothing to compare.
        parts: The same for each dataset and scale.
    """

    outcome: Outcome
    reason: str
    overall: Comparison | None = None
    parts: tuple[Comparison, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether the job should end with the status of a refusal."""
        return self.outcome == "refused"

    def lines(self) -> list[str]:
        """The reason, and below it each dataset and scale."""
        return [self.reason, *(f"  {part.dataset} x{part.scale:g}: {told(part)}" for part in self.parts)]


def contending_methods(contenders: Contenders) -> tuple[MethodConfig, ...]:
    """What has to be measured to decide: the candidate and, where there is another one, the champion.

    Their models are told by version, so that an alias which moves meanwhile changes nothing.
    """
    candidate, champion = _names(contenders)
    methods = [MethodConfig(name=candidate, model=contenders.candidate.uri)]
    if contenders.champion is not None and champion not in (None, candidate):
        methods.append(MethodConfig(name=champion, model=contenders.champion.uri))
    return tuple(methods)


def check_metric(metrics: Sequence[MetricSpec], name: str) -> MetricSpec:
    """The spec of the metric that decides; told before hours of measuring if it cannot.

    Raises:
        ConfigError: It is none of those measured, or one of a whole set of images.
    """
    found = next((spec for spec in metrics if spec.name == name), None)
    single = [spec.name for spec in metrics if spec.needs != "set"]
    remedy = f"Set promotion.metric to one of: {', '.join(single)}." if single else "Add one to metrics.names."
    if found is None:
        raise ConfigError(f"Promotion is decided by {name}, which is not measured.", remedy)
    if found.needs == "set":
        raise ConfigError(
            f"Promotion cannot be decided by {found.title}: it is one number of a whole set of images, so no two "
            "models can be compared image by image.",
            remedy,
        )
    return found


def decide_promotion(result: EvaluationResult, metric: str, candidate: str, champion: str | None) -> Decision:
    """Whether the candidate becomes champion.

    It is refused as well where the candidate was trained on images of the evaluation, or has no result for images that
    the champion has one for: then the comparison does not hold.

    Args:
        result: In which both are among the methods.
        metric: Name of the metric that decides, one of single images.
        candidate: Name of the method that asks for it.
        champion: Name of the method that is it; None where there is none.

    Raises:
        ConfigError: The metric is not measured, or one of a whole set of images.
    """
    check_metric(result.metrics, metric)
    if champion is None:
        return Decision("first", f"{candidate} is champion: there was none.")
    if champion == candidate:
        return Decision("kept", f"{candidate} is champion already.")
    pairing, methods = Pairing(result), (candidate, champion)
    overall = pairing.compare_overall(metric, methods)
    places = [(scale, facts.name) for facts in result.datasets for scale in result.scales]
    parts = tuple(pairing.compare(metric, methods, *place) for place in places)
    objection = _objection(result, overall, parts)
    if objection:
        return Decision("refused", f"The champion stays: {objection}", overall, parts)
    reason = f"{candidate} takes over from {champion}: it is better, {told(overall)}."
    return Decision("moved", reason, overall, parts)


def told(comparison: Comparison) -> str:
    """A comparison in words, e.g. `LPIPS -0.012 [-0.015, -0.009], better on 71 % of 1630 images`."""
    spec, difference = comparison.metric, comparison.difference
    if difference is None:
        return f"{spec.title} unknown, {comparison.num_images} images have it of both"
    unit = f" {spec.unit}" if spec.unit else ""
    left_out = f" ({comparison.num_left_out} left out that only one has)" if comparison.num_left_out else ""
    return (
        f"{spec.title} {difference.mean:+.4g}{unit} [{difference.low:+.4g}, {difference.high:+.4g}], "
        f"better on {comparison.share_won:.0%} of {comparison.num_images} images{left_out}"
    )


def promote(result: EvaluationResult, metric: str, contenders: Contenders, tracking_uri: str, run: Run) -> Decision:
    """Decide, move the alias where that was decided, and tell why: with the version, in the run and in the result.

    Args:
        result: In which `contending_methods` are among the methods; takes the decision in words.
        metric: Name of the metric that decides.
        contenders: The versions that were compared.
        tracking_uri: Of the registry.
        run: Of the evaluation.

    Raises:
        ConfigError: The metric is not measured, or one of a whole set of images.
    """
    decision = decide_promotion(result, metric, *_names(contenders))
    tags = {f"{_TAG}run": run.run_id, **_figures(decision, contenders)}
    try:
        _move(decision, contenders, tracking_uri, tags)
    except Refused as error:
        decision = replace(decision, outcome="refused", reason=str(error))
    if decision.outcome != "kept":
        told_by = {f"{_TAG}outcome": decision.outcome, REASON_TAG: decision.reason}
        tag_version(tracking_uri, contenders.candidate, tags | told_by)
    result.promotion = "\n".join(decision.lines())
    _record(decision, run, result.promotion)
    return decision


def _move(decision: Decision, contenders: Contenders, tracking_uri: str, tags: Mapping[str, str]) -> None:
    if decision.outcome == "first":
        replace_champion(tracking_uri, contenders, {REASON_TAG: decision.reason})
    elif decision.outcome == "moved":
        replace_champion(tracking_uri, contenders, {**tags, REASON_TAG: decision.reason})


def _record(decision: Decision, run: Run, words: str) -> None:
    log.log(logging.WARNING if decision.is_refused else logging.INFO, "%s", decision.reason)
    run.set_tags({f"{_TAG}outcome": decision.outcome, f"{_TAG}reason": decision.reason})
    run.log_text(f"{words}\n", "promotion.txt")
    if decision.overall is not None and (difference := decision.overall.difference) is not None:
        found = {"difference": difference.mean, "low": difference.low, "high": difference.high}
        run.log_metrics({f"promotion/{name}": value for name, value in found.items()})


def _names(contenders: Contenders) -> tuple[str, str | None]:
    """What candidate and champion are called in tables: alike where they are one, None where there is no champion."""
    candidate, champion = (f"{contenders.candidate.name} {alias}" for alias in (CANDIDATE, CHAMPION))
    return candidate, (None if contenders.champion is None else candidate if contenders.is_settled else champion)


def _objection(result: EvaluationResult, overall: Comparison, parts: Sequence[Comparison]) -> str:
    """Why the candidate does not become champion; empty where nothing speaks against it."""
    spec, candidate, champion = overall.metric, overall.method, overall.reference
    if missing := result.gaps.get(spec.name):
        return f"{spec.title} could not be measured, {missing.name} is missing. Fetch it with `{missing.command}`."
    learnt = sum(shared.method == candidate and shared.distance is None for shared in result.shared)
    if learnt:
        return f"{candidate} was trained on {learnt} of the images that it is judged on. Evaluate on others."
    lacking = _num_lacking(result, spec.name, candidate, champion)
    if lacking:
        return f"{candidate} has no {spec.title} for {lacking} images for which {champion} has one. See the failures."
    if overall.difference is None:
        return f"{spec.title} of both is known for too few images to tell ({overall.num_images}). Evaluate on more."
    if overall.is_better:
        return ""
    verdict = "is worse" if overall.is_worse else "is not clearly better"
    return f"{candidate} {verdict}, {told(overall)}."


def _num_lacking(result: EvaluationResult, metric: str, candidate: str, champion: str) -> int:
    """Images, at each scale, that the champion has the metric for and the candidate has not."""
    count = 0
    for scale in result.scales:
        own, others = (result.values(method, metric, scale) for method in (candidate, champion))
        count += len(others.keys() - own.keys())
    return count


def _figures(decision: Decision, contenders: Contenders) -> dict[str, str]:
    """The comparison as tags of the version."""
    overall = decision.overall
    if overall is None or overall.difference is None or contenders.champion is None:
        return {}
    difference = overall.difference
    return {
        f"{_TAG}against": contenders.champion.uri,
        f"{_TAG}metric": overall.metric.name,
        f"{_TAG}difference": f"{difference.mean:+.6g}",
        f"{_TAG}interval": f"{difference.low:+.6g} to {difference.high:+.6g}",
        f"{_TAG}share_won": f"{overall.share_won:.4f}",
        f"{_TAG}num_images": str(difference.num_images),
    }

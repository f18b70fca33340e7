"""Several variants of one experiment, trained one after another and compared image by image.

Phases that variants share are recognised by their digest and run once. A variant that fails leaves the others alone.
"""

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch

from pipelines.cluster import ray_session, require_durable_output
from pipelines.evaluation.comparison import Evaluation
from pipelines.experiment.config import JobConfig
from pipelines.experiment.data import check_patches, find_images
from pipelines.experiment.results import measure, open_trained, with_card
from pipelines.experiment.run import check_ends, log_inputs, require_workers, run_key
from pipelines.experiment.training import Plan, digest_phases, forget_phases, run_phases, selected_phases
from pipelines.storage import Store, open_store
from pipelines.tracking.run import Run
from pipelines.tracking.secrecy import mask_secrets
from pipelines.tracking.tracker import Tracker, open_tracker
from rssr.errors import ConfigError, RssrError
from rssr.inference.cost import ImageCost, measure_cost
from rssr.methods.method import Method
from rssr.methods.phase import PhaseInputs
from rssr.models.loaded import LoadedModel, load_model

log = logging.getLogger(__name__)

BASELINE = "bicubic"
TEACHER = "{} teacher"
"""What a variant's teacher is called in results."""

_LONGEST_REASON = 500  # characters

ToldT = TypeVar("ToldT")
OpenTeacher = Callable[[PhaseInputs], LoadedModel]


@dataclass(frozen=True)
class Variant:
    """One member of a sweep.

    Attributes:
        name: Unique within the sweep.
        method: The method with the variant's configuration.
        config: The job's configuration, likewise.
        open_teacher: Opens the model that taught, where its own images are of interest.
    """

    name: str
    method: Method
    config: JobConfig
    open_teacher: OpenTeacher | None = None


@dataclass
class SweepResults:
    """What became of the variants.

    Attributes:
        evaluation: Every image measured, by the names of `costs`; and of bicubic, which has none.
        costs: Of each variant's model by the variant's name, and of teachers as `TEACHER` says.
        failures: Reasons by the name of the variant that failed.
        models: Where each variant's model folder lies.
    """

    evaluation: Evaluation = field(default_factory=Evaluation)
    costs: dict[str, ImageCost] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweep:
    """A finished sweep, ready to be told.

    Attributes:
        plan: Of the whole: its configuration is the one that was typed.
        run: The MLflow run of the whole, still open.
        results: What became of the variants.
        tracking_uri: The MLflow store.
    """

    plan: Plan
    run: Run
    results: SweepResults
    tracking_uri: str


def run_sweep(config: JobConfig, variants: Sequence[Variant], tell: Callable[[Sweep], ToldT]) -> tuple[ToldT, bool]:
    """Train and measure all variants under one MLflow run.

    Args:
        config: As typed; its output, data and tracking hold for all variants.
        variants: The first is what the others are distances from.
        tell: Publishes the results, before the MLflow run ends.

    Returns:
        What `tell` returned, and whether the MLflow store was made durable.

    Raises:
        ConfigError: Only some of the phases are asked for.
        Exception: What the first variant failed by, where every one failed.
    """
    if config.phases is not None:
        raise ConfigError("A sweep runs all phases of its variants.", "Leave phases unset.")
    require_durable_output(config.output.uri)
    home = open_store(config.output.uri)
    for variant in variants:
        check_ends(variant.method, variant.config, selected_phases(variant.method, variant.config), home)
    with ray_session(config.ray, needed=config.needs_ray):
        require_workers(config)
        plans = _plans(config, variants, home)
        whole = replace(plans[variants[0].name], config=config)
        tracker = open_tracker(config.mlflow, home.uri)
        try:
            with tracker.open_run(run_key(whole), f"{whole.method.name} sweep") as run:
                log_inputs(run, whole)
                for plan in plans.values():
                    forget_phases(plan)
                results = _run_all(variants, plans, tracker, run)
                told = tell(Sweep(whole, run, results, tracker.tracking_uri))
        finally:
            durable = tracker.backup()
    return told, durable


def _plans(config: JobConfig, variants: Sequence[Variant], home: Store) -> dict[str, Plan]:
    manifest, key = find_images(config, home)
    plans = {}
    for variant in variants:
        phases = selected_phases(variant.method, variant.config)
        check_patches(variant.method, phases, manifest, config.data.scale_range[1])
        digests = digest_phases(variant.method, variant.config, manifest)
        plans[variant.name] = Plan(variant.method, variant.config, home, manifest, key, digests)
    return plans


def _run_all(variants: Sequence[Variant], plans: Mapping[str, Plan], tracker: Tracker, run: Run) -> SweepResults:
    results, errors = SweepResults(), []
    # First, since images that cannot be measured are then known of before anything is trained.
    results.evaluation.add(measure(plans[variants[0].name], {BASELINE: load_model(BASELINE)}))
    for variant in variants:
        log.info("variant %s", variant.name)
        try:
            _run_variant(variant, plans[variant.name], tracker, run, results)
        except Exception as error:  # of whatever kind: the others' results must not be lost
            results.failures[variant.name] = reason = describe_failure(error)
            log.error("variant %s failed: %s", variant.name, reason, exc_info=log.isEnabledFor(logging.DEBUG))
            errors.append(error)
    if len(errors) == len(variants):
        raise errors[0]
    return results


def describe_failure(error: Exception) -> str:
    """One line on why a variant failed; of a worker's traceback, its last one."""
    text = str(error) if isinstance(error, RssrError) else f"{type(error).__name__}: {error}"
    if "Traceback" in text:
        text = text.strip().splitlines()[-1]
    return mask_secrets(" ".join(text.split()))[:_LONGEST_REASON]


def _run_variant(variant: Variant, plan: Plan, tracker: Tracker, parent: Run, results: SweepResults) -> None:
    key = f"{parent.run_id}/{variant.name}-{plan.digests[plan.product][:16]}"
    with tracker.open_run(key, variant.name, parent=parent) as run:
        run.log_config(plan.config)
        run_phases(plan, tracker, run)
        with tempfile.TemporaryDirectory(prefix="rssr-variant-") as work:
            found = _measure_variant(variant, plan, Path(work))
        for model, metrics in found.evaluation.labelled_means().items():
            name = model.replace(" ", "_")
            run.log_metrics({f"evaluation/{name}/{metric}": value for metric, value in metrics.items()})
        for model, cost in found.costs.items():
            name = model.replace(" ", "_")
            run.log_metrics({f"cost/{name}/seconds": cost.seconds, f"cost/{name}/macs": cost.macs})
    results.evaluation.add(found.evaluation)
    results.costs |= found.costs
    results.models |= found.models


def _measure_variant(variant: Variant, plan: Plan, work: Path) -> SweepResults:
    """Quality and cost of one variant's models, one model in memory at a time; stores the model folder."""
    device, found = "cuda" if torch.cuda.is_available() else "cpu", SweepResults()
    trained = open_trained(plan, work, device)
    found.evaluation.add(measure(plan, {variant.name: trained.model}))
    with_card(trained, plan, found.evaluation.labelled_means(), work / "model")
    key = f"models/{plan.config.registry.name}-{plan.digests[plan.product][:16]}"
    plan.home.upload_folder(work / "model", key)
    found.models[variant.name] = f"{plan.home.uri}/{key}"
    scale = plan.config.product_scale
    found.costs[variant.name] = measure_cost(trained.model, scale)
    if variant.open_teacher is not None:
        name = TEACHER.format(variant.name)
        needed = plan.method.needed_phases(plan.product)
        folders = {phase: plan.folder(phase).fetch_output(work) for phase in needed}
        teacher = variant.open_teacher(PhaseInputs(folders, torch.device(device)))
        found.evaluation.add(measure(plan, {name: teacher}))
        found.costs[name] = measure_cost(teacher, scale)
    return found

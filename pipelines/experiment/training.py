"""The phases of an experiment: which to run, what makes each unique, and their MLflow runs."""

import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.datasets.manifest import Manifest
from pipelines.experiment.config import JobConfig
from pipelines.experiment.sharing import num_shares, per_worker, phase_workers
from pipelines.loop.checkpoints import CheckpointStore
from pipelines.loop.history import as_reported
from pipelines.phase_records import PhaseFolder, PhaseRecord
from pipelines.progress import Progress
from pipelines.storage import Store
from pipelines.tracking.run import Run
from pipelines.tracking.secrecy import mask_secrets
from pipelines.tracking.tracker import Tracker
from pipelines.train import TrainTask, WorkerResources, train_phase
from rssr.configuration import config_digest
from rssr.errors import ConfigError
from rssr.images import decode_image
from rssr.methods.method import Method

log = logging.getLogger(__name__)

# Raised when a change of the code makes earlier outputs unusable for the same configuration.
_FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """What an experiment is about to train.

    Attributes:
        method: Method with its configuration.
        config: The job's configuration.
        home: Root of everything durable.
        manifest: Images and splits.
        manifest_key: Where the manifest lies below `home`.
        digests: What makes each phase unique, by phase.
    """

    method: Method
    config: JobConfig
    home: Store
    manifest: Manifest
    manifest_key: str
    digests: Mapping[str, str]

    @property
    def product(self) -> str:
        """The phase whose model is the run's product.

        Raises:
            RuntimeError: None is selected; see `product_phase`.
        """
        phase = product_phase(self.method, self.config)
        if phase is None:
            raise RuntimeError("no selected phase exports a model")
        return phase

    def folder(self, phase: str) -> PhaseFolder:
        """A phase's place in the output."""
        return PhaseFolder(self.home, phase, self.digests[phase])


def digest_phases(method: Method, config: JobConfig, manifest: Manifest) -> dict[str, str]:
    """Digest of every phase: its own settings, the data, and the phases it builds on."""
    dealt = per_worker(method, config)
    shared = {
        "format": _FORMAT,
        "method": method.name,
        "manifest": manifest.digest,
        "scale": config.data.scale_range,
        **({} if config.data.scales is None else {"scales": config.data.scales}),
        "degradation": config.data.degradation.digest_values(),
        "seed": config.seed,
        "num_threads": config.worker.num_threads,
        "num_validation_patches": config.num_validation_patches,
    }
    digests: dict[str, str] = {}
    for phase in method.phases:
        if method.is_needed(phase):
            inputs = {name: digests[name] for name in method.needed_phases(phase)}
            what: dict[str, object] = {"name": phase, "inputs": inputs}
            training = method.training_config(phase)
            if training.fits_held_out:
                what["calibration"] = _calibration_values(config)
            # How many samples a step has, not how many workers share them.
            counted = {**shared, "num_workers": num_shares(config, training)}
            digests[phase] = config_digest(counted, what, dealt.digest_config(phase))
    return digests


def _calibration_values(config: JobConfig) -> dict[str, Any]:
    """What `CalibrationSpec` is made of."""
    evaluation = config.evaluation
    return {
        "scales": list(config.evaluation_scales),
        "max_side": evaluation.max_side,
        "border": evaluation.border,
        "num_images": evaluation.num_images,
    }


def selected_phases(method: Method, config: JobConfig) -> tuple[str, ...]:
    """Phases to run, in order: those asked for, or all that the products build on.

    Raises:
        ConfigError: A phase is unknown.
    """
    wanted = config.phases if config.phases is not None else _phases_of_products(method)
    unknown = [name for name in wanted if name not in method.phases]
    if unknown:
        raise ConfigError(f"Unknown phase '{unknown[0]}'.", f"{method.name} has: {', '.join(method.phases)}.")
    selected = tuple(name for name in method.phases if name in wanted and method.is_needed(name))
    if not selected:
        for name in wanted:
            method.training_config(name)  # says what is missing where a phase has no settings
    return selected


def product_phase(method: Method, config: JobConfig) -> str | None:
    """The selected phase whose model is evaluated, registered and run; None where no selected phase exports one."""
    selected = selected_phases(method, config)
    return next((name for name in reversed(method.product_phases) if name in selected), None)


def _phases_of_products(method: Method) -> set[str]:
    """Phases whose outputs end in a product, directly or through others."""
    return phases_below(method, (name for name in method.product_phases if method.is_needed(name)))


def phases_below(method: Method, phases: Iterable[str]) -> set[str]:
    """These phases and all that they build on, directly or through others."""
    found: set[str] = set()
    waiting = list(phases)
    while waiting:
        found.add(name := waiting.pop())
        waiting += method.needed_phases(name)
    return found


def check_inputs(plan: Plan) -> None:
    """Find out before the first phase whether all that the selected phases build on is selected too, or finished.

    Raises:
        ConfigError: Naming the phase to run first.
    """
    selected = selected_phases(plan.method, plan.config)
    for phase in selected:
        for name in plan.method.needed_phases(phase):
            if name not in selected and plan.folder(name).record() is None:
                raise ConfigError(
                    f"Phase {phase} builds on phase {name}, which is not finished for this configuration and data.",
                    f"Run phases=[{name}] first with the same keys, or leave phases unset to run all.",
                )


def forget_phases(plan: Plan) -> None:
    """Where the configuration says so, forget what the selected phases have left, so that they start over."""
    if plan.config.fresh:
        for phase in selected_phases(plan.method, plan.config):
            plan.folder(phase).forget()


def run_phases(plan: Plan, tracker: Tracker, parent: Run) -> dict[str, PhaseRecord]:
    """Run the selected phases that are not finished; returns the records of all of them."""
    selected = selected_phases(plan.method, plan.config)
    records: dict[str, PhaseRecord] = {}
    for phase in selected:
        record = plan.folder(phase).record()
        if record is not None:
            log.info("phase %s is finished already (digest %s)", phase, plan.digests[phase][:12])
            _complete_run(plan, record, tracker, parent)
        else:
            record = _run_phase(plan, phase, tracker, parent)
        _check(plan, phase, record)
        records[phase] = record
    return records


def _run_phase(plan: Plan, phase: str, tracker: Tracker, parent: Run) -> PhaseRecord:
    config = plan.config
    log.info("phase %s: %d steps", phase, plan.method.training_config(phase).num_steps)
    start = time.monotonic()
    run = tracker.open_run(_run_key(plan, phase, parent), phase, parent=parent)
    with run:
        run.log_params({"phase": phase, **plan.method.training_config(phase).model_dump(mode="json")})
        run.log_dataset("training", plan.manifest.digest, ", ".join(plan.manifest.sources))
        task = _task(plan, phase, run)
        worker = config.worker
        resources = WorkerResources(worker.num_cpus, worker.num_gpus, worker.max_failures)
        with Progress(f"phase {phase}", total=plan.method.training_config(phase).num_steps) as progress:
            record = train_phase(task, resources, progress)
        _log_outcome(plan, phase, record, run)
        tracker.backup()
    log.info("phase %s took %.0f s: %s", phase, time.monotonic() - start, _in_words(record.validation))
    return record


def _complete_run(plan: Plan, record: PhaseRecord, tracker: Tracker, parent: Run) -> None:
    """Give a phase's MLflow run its end, where the job was killed between the phase's own and that."""
    run_key = _run_key(plan, record.phase, parent)
    if not tracker.is_unfinished(run_key):
        return
    with tracker.open_run(run_key, record.phase, parent=parent) as run:
        with run.metric_buffer() as buffer:  # leaves out what has arrived
            for metrics, step in as_reported(record.losses, record.validations):
                buffer.put(metrics, step)
        _log_outcome(plan, record.phase, record, run)


def _task(plan: Plan, phase: str, run: Run) -> TrainTask:
    config = plan.config
    training = plan.method.training_config(phase)
    workers = phase_workers(config, training)
    if workers[1] < config.workers[1]:
        told = "phase %s: %d of %d workers, since its steps have %d image pairs"
        log.info(told, phase, workers[1], config.workers[1], training.batch_size)
    return TrainTask(
        method=plan.method.name,
        method_values=per_worker(plan.method, config).dump(),
        phase=phase,
        digests=dict(plan.digests),
        home_uri=plan.home.uri,
        manifest_key=plan.manifest_key,
        data_values=config.data.model_dump(mode="json"),
        seed=config.seed,
        workers=workers,
        batch_size_counts=workers[1] if config.batch_size_of == "step" else 1,
        num_threads=config.worker.num_threads,
        num_held_out=config.num_validation_patches,
        tracking_uri=run.tracking_uri,
        run_id=run.run_id,
        calibration_values=_calibration_values(config) if training.fits_held_out else None,
        system_metrics_interval_s=config.mlflow.system_metrics_interval_s if config.mlflow.system_metrics else None,
        run_started_s=run.started_s(),
    )


def _log_outcome(plan: Plan, phase: str, record: PhaseRecord, run: Run) -> None:
    run.log_metrics({f"final/{name}": value for name, value in record.validation.items()}, step=record.num_steps)
    panels = plan.folder(phase).store.read_bytes("panels.png")
    run.log_image("panels", decode_image(panels, "panels.png").pixels, step=record.num_steps)
    run.log_text(_told_checkpoints(plan, phase), "checkpoints.json")
    run.set_tags({"rssr.phase_digest": record.digest, "rssr.output_sha256": record.output_digest})


def _told_checkpoints(plan: Plan, phase: str) -> str:
    """Where the phase's checkpoints lie, and what vouches for them; they stay there."""
    config = plan.method.training_config(phase)
    store = CheckpointStore(plan.folder(phase).checkpoints, config.keep_checkpoints, config.best_by)
    best = store.best()
    told = {
        "checkpoints": [asdict(entry) for entry in store.kept()],
        "best": None if best is None else best.uri,
    }
    return mask_secrets(json.dumps(told, indent=1))


def _run_key(plan: Plan, phase: str, parent: Run) -> str:
    return f"{parent.run_id}/{phase}-{plan.digests[phase][:16]}"


def _check(plan: Plan, phase: str, record: PhaseRecord) -> None:
    plan.method.check(phase, record.validation)


def _in_words(metrics: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())

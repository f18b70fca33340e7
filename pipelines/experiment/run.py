"""The whole of a training job, as one sentence: data, phases, comparison, registry, product, report."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipelines.attempts import attempt_number
from pipelines.cluster import (
    inside_ray_job,
    ray_session,
    require_durable_output,
    require_room,
    require_room_on_cluster,
)
from pipelines.evaluation.comparison import Evaluation
from pipelines.experiment.config import JobConfig
from pipelines.experiment.data import check_patches, find_images
from pipelines.experiment.dry_run import run_dry
from pipelines.experiment.promotion import promote
from pipelines.experiment.report import ReportInputs, write_report
from pipelines.experiment.results import (
    check_scenes,
    compare,
    evaluation_spec,
    make_product,
    open_trained,
    with_card,
)
from pipelines.experiment.training import (
    Plan,
    check_inputs,
    digest_phases,
    forget_phases,
    product_phase,
    run_phases,
    selected_phases,
)
from pipelines.experiment.uncertainty import MeasuredUncertainty, measure_uncertainty
from pipelines.phase_records import PhaseRecord
from pipelines.progress import print_closing
from pipelines.storage import Store, open_store
from pipelines.storage.store import probe_key
from pipelines.tracking.registry import register_model
from pipelines.tracking.run import Run
from pipelines.tracking.secrecy import mask_secrets
from pipelines.tracking.tracker import Tracker, open_tracker
from rssr.configuration import config_digest
from rssr.errors import ExitCode
from rssr.methods.method import Method
from rssr.models.loaded import load_model

log = logging.getLogger(__name__)


def run_experiment(method: Method, config: JobConfig) -> ExitCode:
    """Train a method from images to a registered model, a product and a report.

    Every part that is finished already for the same configuration and data is recognised and not done again.
    """
    if config.phase.dry_run:
        return run_dry({method.name: method}, config)
    require_durable_output(config.output.uri)
    home = open_store(config.output.uri)
    phases = selected_phases(method, config)
    check_ends(method, config, phases, home)
    with ray_session(config.ray, needed=config.needs_ray):
        require_workers(config)
        manifest, manifest_key = find_images(config, home)
        check_patches(method, phases, manifest, config.data.scale_range[1])
        plan = Plan(method, config, home, manifest, manifest_key, digest_phases(method, config, manifest))
        check_inputs(plan)
        tracker = open_tracker(config.mlflow, home.uri)
        try:
            with tracker.open_run(run_key(plan), method.name) as run:
                log_inputs(run, plan)
                forget_phases(plan)
                records = run_phases(plan, tracker, run)
                outcome = _finish(plan, tracker, run, records)
        finally:
            durable = tracker.backup()
    print_closing(outcome, next_commands(config, outcome, method.name))
    return ExitCode.DONE if durable else ExitCode.COMPLETED_WITH_FAILURES


def require_workers(config: JobConfig) -> None:
    """Refuse at once what the cluster that was reached has no room for."""
    require_room_on_cluster(config.ray, config.workers[0], config.worker.num_cpus, config.worker.num_gpus)


def check_ends(method: Method, config: JobConfig, phases: Sequence[str], home: Store) -> None:
    """Refuse at once what would otherwise fail after hours, or wait for ever."""
    method.require_files(phases)
    require_room(config.ray, config.workers[0], config.worker.num_cpus, config.worker.num_gpus)
    if product_phase(method, config) is not None:
        check_scenes(config, method.name)
    probe = probe_key()
    home.write_bytes(probe, b"")
    home.delete(probe)


def _finish(plan: Plan, tracker: Tracker, run: Run, records: dict[str, PhaseRecord]) -> dict[str, str]:
    shown_uri = mask_secrets(tracker.tracking_uri)
    where = {"runs": plan.home.uri, "MLflow": shown_uri}
    inputs = ReportInputs(plan=plan, records=records, tracking_uri=shown_uri, run_id=run.run_id)
    with tempfile.TemporaryDirectory(prefix="rssr-results-") as name:
        if product_phase(plan.method, plan.config) is not None:
            where |= _use_model(plan, run, inputs, Path(name))
        where["report"] = _publish_report(plan, run, inputs, Path(name))
    return where


def _use_model(plan: Plan, run: Run, inputs: ReportInputs, work: Path) -> dict[str, str]:
    """Compare the trained model, give it its card, register it and super-resolve the scene with it."""
    registered_name = plan.config.registry.name
    trained = open_trained(plan, work)
    inputs.evaluation = compare(plan, trained)
    _store_evaluation(plan, run, inputs.evaluation)
    specs = [evaluation_spec(plan.config, scale) for scale in plan.config.evaluation_scales]
    inputs.uncertainty = measure_uncertainty(plan, trained.model, specs)
    _store_uncertainty(plan, run, inputs.uncertainty)
    folder = work / "model"
    card = with_card(trained, plan, inputs.evaluation.labelled_means(), folder, inputs.uncertainty)
    inputs.tile_dependence = card.tile_dependence
    if card.tile_dependence is not None:
        run.log_metrics(card.tile_dependence.metrics())
    version = register_model(folder, registered_name, run)
    promote(version, inputs.evaluation, trained.model.name, run.tracking_uri)
    inputs.model_uri = f"models:/{registered_name}@candidate"
    model_key = f"models/{registered_name}-{plan.digests[plan.product][:16]}"
    plan.home.upload_folder(folder, model_key)
    product = make_product(plan, load_model(folder), work)
    inputs.lr_scene, inputs.product = product.lr_scene, product.path
    where = {
        "model": f"{plan.home.uri}/{model_key}",
        "registered": f"{version.name} version {version.version}",
        "product": product.uri,
    }
    return where if product.uncertainty_uri is None else {**where, "uncertainty": product.uncertainty_uri}


def _publish_report(plan: Plan, run: Run, inputs: ReportInputs, work: Path) -> str:
    path = work / "report.html"
    write_report(inputs, path)
    key = f"reports/{plan.method.name}-{run.run_id[:12]}.html"
    plan.home.upload_file(path, key)
    run.log_artifact(path)
    return f"{plan.home.uri}/{key}"


def _store_evaluation(plan: Plan, run: Run, evaluation: Evaluation) -> None:
    for model, metrics in evaluation.labelled_means().items():
        name = model.replace(" ", "_")
        run.log_metrics({f"evaluation/{name}/{metric}": value for metric, value in metrics.items()})
    key = f"evaluations/{plan.digests[plan.product][:16]}.parquet"
    plan.home.write_bytes(key, evaluation.to_parquet())


def _store_uncertainty(plan: Plan, run: Run, measured: MeasuredUncertainty | None) -> None:
    if measured is not None:
        run.log_metrics(measured.metrics())
        plan.home.write_bytes(f"evaluations/{plan.digests[plan.product][:16]}-uncertainty.json", measured.to_json())


def log_inputs(run: Run, plan: Plan) -> None:
    """Record configuration and images with a run."""
    run.log_config(plan.config)
    run.log_dataset("training", plan.manifest.digest, ", ".join(plan.manifest.sources))
    run.set_tags({"rssr.manifest_digest": plan.manifest.digest, "rssr.manifest": plan.manifest_key})


def run_key(plan: Plan) -> str:
    """The same configuration and images make the same run, so that a rerun goes on in it.

    Settings that change where things go or what is shown, but not what is made (`fresh`, the cluster's address), do
    not count.
    """
    values = plan.config.model_dump(mode="json", exclude={"fresh", "ray", "mlflow", "output", "phase", "report"})
    values["num_workers"] = max(plan.config.workers[1], 1)  # fewer share the same samples
    if values["num_workers"] == 1 or values["batch_size_of"] == "worker":
        del values["batch_size_of"]  # a run of earlier versions is this one
    attempt = attempt_number(plan.home, key := config_digest(values, plan.manifest.digest), plan.config.fresh)
    return f"{plan.method.name}-{key[:24]}-{attempt}"


def next_commands(config: JobConfig, where: dict[str, str], job: str) -> list[str]:
    """What to type after a job, which has a quickstart of its own name."""
    commands = []
    if "model" in where and "://" not in where["model"]:
        commands.append(f"rssr sr YOUR_SCENE.tif OUT.tif --model {where['model']} --scale {config.product_scale:g}")
    commands.append(f"mlflow ui --backend-store-uri {where['MLflow']}")
    if not inside_ray_job():
        commands.append(f"python jobs/{job}.py quickstart/{job} data.uri=YOUR_FOLDER output.uri=runs/mine")
    return commands

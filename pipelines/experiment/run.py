"""The whole of a training job, as one sentence: data, phases, comparison, registry, product, report."""

import logging
import tempfile
from pathlib import Path

from pipelines.cluster import inside_ray_job, ray_session, require_durable_output
from pipelines.evaluate import Evaluation
from pipelines.experiment.config import JobConfig
from pipelines.experiment.data import find_images
from pipelines.experiment.report import ReportInputs, write_report
from pipelines.experiment.results import compare, discard, make_product, open_trained, with_card
from pipelines.experiment.training import Plan, digest_phases, run_phases, selected_phases
from pipelines.phase_records import PhaseRecord
from pipelines.progress import print_closing
from pipelines.storage import Store, open_store
from pipelines.tracking.registry import register_model
from pipelines.tracking.run import Run
from pipelines.tracking.secrecy import mask_secrets
from pipelines.tracking.tracker import Tracker, open_tracker
from rssr.configuration import config_digest
from rssr.errors import ExitCode
from rssr.methods import Method

log = logging.getLogger(__name__)


def run_experiment(method: Method, config: JobConfig) -> ExitCode:
    """Train a method from images to a registered model, a product and a report.

    Every part that is finished already for the same configuration and data is recognised and not done again.
    """
    require_durable_output(config.output.uri)
    selected_phases(method, config)
    home = open_store(config.output.uri)
    with ray_session(config.ray, needed=config.num_workers > 0):
        manifest, manifest_key = find_images(config, home)
        plan = Plan(method, config, home, manifest, manifest_key, digest_phases(method, config, manifest))
        tracker = open_tracker(config.mlflow, home.uri)
        with tracker.open_run(_run_key(plan), method.name) as run:
            _log_inputs(run, plan)
            records = run_phases(plan, tracker, run)
            outcome = _finish(plan, tracker, run, records)
        durable = tracker.backup()
    print_closing(outcome, _next_commands(config, outcome))
    return ExitCode.DONE if durable else ExitCode.COMPLETED_WITH_FAILURES


def _finish(plan: Plan, tracker: Tracker, run: Run, records: dict[str, PhaseRecord]) -> dict[str, str]:
    shown_uri = mask_secrets(tracker.tracking_uri)
    where = {"runs": plan.home.uri, "MLflow": shown_uri}
    inputs = ReportInputs(plan=plan, records=records, tracking_uri=shown_uri, run_id=run.run_id)
    if plan.method.product_phase in records:
        trained = open_trained(plan)
        inputs.evaluation = evaluation = compare(plan, trained)
        means = evaluation.means()
        _store_evaluation(plan, run, evaluation)
        work = Path(tempfile.mkdtemp(prefix="rssr-model-"))
        with_card(trained, plan, means, work / "model")
        version = register_model(work / "model", plan.config.registry.name, run)
        inputs.model_uri = f"models:/{plan.config.registry.name}@candidate"
        model_key = f"models/{plan.config.registry.name}-{plan.digests[plan.method.product_phase][:16]}"
        plan.home.upload_folder(work / "model", model_key)
        discard(work)
        product_uri, inputs.lr_scene, inputs.product = make_product(plan, trained.model)
        where |= {
            "model": f"{plan.home.uri}/{model_key}",
            "registered": f"{version.name} version {version.version}",
            "product": product_uri,
        }
    where["report"] = _publish_report(plan, run, inputs)
    return where


def _publish_report(plan: Plan, run: Run, inputs: ReportInputs) -> str:
    with tempfile.TemporaryDirectory(prefix="rssr-report-") as name:
        path = Path(name) / "report.html"
        write_report(inputs, path)
        key = f"reports/{plan.method.name}-{run.run_id[:12]}.html"
        plan.home.upload_file(path, key)
        run.log_artifact(path)
    if inputs.product is not None:
        discard(inputs.product.parent)
    return f"{plan.home.uri}/{key}"


def _store_evaluation(plan: Plan, run: Run, evaluation: Evaluation) -> None:
    for model, metrics in evaluation.means().items():
        name = model.replace(" ", "_")
        run.log_metrics({f"evaluation/{name}/{metric}": value for metric, value in metrics.items()})
    key = f"evaluations/{plan.digests[plan.method.product_phase][:16]}.parquet"
    plan.home.write_bytes(key, evaluation.to_parquet())


def _log_inputs(run: Run, plan: Plan) -> None:
    run.log_config(plan.config)
    run.log_dataset("training", plan.manifest.digest, ", ".join(plan.manifest.sources))
    run.set_tags({"rssr.manifest_digest": plan.manifest.digest, "rssr.manifest": plan.manifest_key})


def _run_key(plan: Plan) -> str:
    """The same configuration and images make the same run, so that a rerun goes on in it.

    Settings that change where things go but not what they are (`fresh`, the cluster's address) do not count.
    """
    values = plan.config.model_dump(mode="json", exclude={"fresh", "ray", "mlflow", "output"})
    attempt = _attempt(plan.home, key := config_digest(values, plan.manifest.digest), plan.config.fresh)
    return f"{plan.method.name}-{key[:24]}-{attempt}"


def _attempt(home: Store, key: str, fresh: bool) -> int:
    """How often this experiment was started afresh; counted in the output."""
    name = f"runs/{key[:24]}.attempts"
    attempt = int(home.read_bytes(name)) if home.exists(name) else 0
    if fresh:
        attempt += 1
        home.write_bytes(name, str(attempt).encode())
    return attempt


def _next_commands(config: JobConfig, where: dict[str, str]) -> list[str]:
    commands = []
    if "model" in where and "://" not in where["model"]:
        commands.append(
            f"rssr sr YOUR_SCENE.tif OUT.tif --model {where['model']} --scale {config.data.scale_range[0]:g}"
        )
    commands.append(f"mlflow ui --backend-store-uri {where['MLflow']}")
    if not inside_ray_job():
        commands.append("python jobs/slimdiffsr.py quickstart/slimdiffsr data.uri=YOUR_FOLDER output.uri=runs/mine")
    return commands

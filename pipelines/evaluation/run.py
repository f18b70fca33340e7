"""The evaluation job as one sentence: methods, images, figures, decision, report."""

import logging
from collections.abc import Iterator, Sequence

from pipelines.attempts import attempt_number
from pipelines.cluster import inside_ray_job, ray_session, require_room_on_cluster
from pipelines.evaluation.checks import check_config, fewer_workers, named_datasets
from pipelines.evaluation.config import EvaluateConfig, MethodConfig
from pipelines.evaluation.console import result_text
from pipelines.evaluation.datasets import open_dataset
from pipelines.evaluation.gather import gather
from pipelines.evaluation.measures import Measures
from pipelines.evaluation.methods import named_methods, open_method
from pipelines.evaluation.metrics import choose_metrics
from pipelines.evaluation.opening import OpenEvaluation, assemble, scales_of
from pipelines.evaluation.outputs import Outputs, evaluation_key, log_figures, log_inputs, store_outputs
from pipelines.evaluation.parts import Part, forget_parts, plan_parts, read_part, write_part
from pipelines.evaluation.promotion import Decision, contending_methods, promote
from pipelines.evaluation.published import PublishedTable, load_table
from pipelines.evaluation.result import EvaluationResult
from pipelines.evaluation.shown import shown_images
from pipelines.evaluation.stream import run_here, run_on_ray
from pipelines.evaluation.work import Finding
from pipelines.progress import Progress, print_closing
from pipelines.storage import Store, open_store
from pipelines.tracking.champion import Contenders, find_contenders
from pipelines.tracking.run import Run
from pipelines.tracking.secrecy import mask_secrets
from pipelines.tracking.tracker import Tracker, open_tracker
from rssr.errors import ConfigError, ExitCode

log = logging.getLogger(__name__)


def run_evaluation(config: EvaluateConfig) -> ExitCode:
    """Run the job.

    Parts that are finished already for the same images, methods and settings are recognised and not done again.

    Raises:
        RssrError: Bad input, told before anything is computed where it can be.
    """
    check_config(config)
    home = open_store(config.output.uri)
    tracker = open_tracker(config.mlflow, home.uri)
    try:
        with ray_session(config.ray, needed=config.num_workers > 0):
            _require_workers(config)
            status = _evaluate(config, home, tracker)
    finally:
        durable = tracker.backup()
    return status if durable or status != ExitCode.DONE else ExitCode.COMPLETED_WITH_FAILURES


def _require_workers(config: EvaluateConfig) -> None:
    """Refuse at once what the cluster that was reached has no room for."""
    try:
        require_room_on_cluster(config.ray, config.num_workers, config.worker.num_cpus, config.worker.num_gpus)
    except ConfigError as error:
        raise fewer_workers(error) from None


def _evaluate(config: EvaluateConfig, home: Store, tracker: Tracker) -> ExitCode:
    contenders = None
    if config.promotion.model is not None:
        contenders = find_contenders(tracker.tracking_uri, config.promotion.model)
    evaluation = _open(config, home, tracker, contenders)
    key = evaluation_key(evaluation)
    table = None if config.published is None else load_table(config.published)
    run_key = f"evaluate-{key[:24]}-{attempt_number(home, key, config.fresh)}"
    with tracker.open_run(run_key, "evaluate") as run:
        log_inputs(run, evaluation)
        result = _measure(evaluation)
        result.published = () if table is None else table.cells
        decision = _decide(evaluation, result, contenders, tracker, run)
        log_figures(run, result)
        outputs = store_outputs(evaluation, result, run)
    _tell(result, table, outputs, mask_secrets(tracker.tracking_uri))
    if decision is not None and decision.is_refused:
        return ExitCode.REFUSED
    return ExitCode.COMPLETED_WITH_FAILURES if result.failures else ExitCode.DONE


def _open(config: EvaluateConfig, home: Store, tracker: Tracker, contenders: Contenders | None) -> OpenEvaluation:
    metrics = choose_metrics(config)
    if config.num_workers > 0:
        Measures(metrics.measuring(config), "cpu")  # damaged weights are told here, and not by a lost actor
    methods = [
        open_method(method, scales_of(config), tracker.tracking_uri) for method in _all_methods(config, contenders)
    ]
    datasets = [open_dataset(dataset, home, config.seed) for dataset in named_datasets(config)]
    return assemble(config, home, methods, datasets, metrics)


def _all_methods(config: EvaluateConfig, contenders: Contenders | None) -> list[MethodConfig]:
    """Those configured, and those that have to be compared for a promotion."""
    methods = {method.name: method for method in named_methods(config)}
    if contenders is not None:
        # One of the same name, by its alias, gives way to the version that the alias points at now.
        methods |= {method.name: method for method in contending_methods(contenders)}
    return list(methods.values())


def _measure(evaluation: OpenEvaluation) -> EvaluationResult:
    """Everything that images tell."""
    parts = plan_parts(evaluation.task, evaluation.config.worker.images_per_part, evaluation.software())
    if evaluation.config.fresh:
        forget_parts(parts, evaluation.home)
    _make_parts(evaluation, parts)
    result = gather(evaluation, _read_all(parts, evaluation.home))
    result.shown = shown_images(evaluation, result)
    return result


def _make_parts(evaluation: OpenEvaluation, parts: Sequence[Part]) -> None:
    """Find out what is not known yet, part by part in order."""
    todo = [part for part in parts if read_part(part, evaluation.home) is None]
    if len(todo) < len(parts):
        log.info("%d of %d parts are there already", len(parts) - len(todo), len(parts))
    total = sum(len(part.jobs) for part in parts)
    done = total - sum(len(part.jobs) for part in todo)
    jobs = [job for part in todo for job in part.jobs]
    config, task = evaluation.config, evaluation.task
    if not jobs:
        return
    with Progress("evaluation", total=total) as progress:
        found = (
            run_here(task, jobs)
            if config.num_workers == 0
            else run_on_ray(task, jobs, config.num_workers, config.worker)
        )
        for part in todo:
            findings: list[Finding] = []
            for _ in part.jobs:
                findings += next(found)
                done += 1
                progress.update(done)
            write_part(part, findings, evaluation.home)


def _read_all(parts: Sequence[Part], home: Store) -> Iterator[tuple[Part, list[Finding]]]:
    for part in parts:
        findings = read_part(part, home)
        if findings is None:
            raise RuntimeError(f"{home.describe(part.key)} is gone or damaged.")
        yield part, findings


def _decide(
    evaluation: OpenEvaluation, result: EvaluationResult, contenders: Contenders | None, tracker: Tracker, run: Run
) -> Decision | None:
    config = evaluation.config
    if not config.promote or contenders is None:
        return None
    return promote(result, config.promotion.metric or result.rank_by, contenders, tracker.tracking_uri, run)


def _tell(result: EvaluationResult, table: PublishedTable | None, outputs: Outputs, tracking_uri: str) -> None:
    print(f"\n{result_text(result, table)}")  # the job's answer, not a log line
    where = {
        "report": outputs.report,
        "rows": f"{outputs.rows} ({len(result.rows)})",
        "failures": f"{outputs.failures} ({len(result.failures)})",
        "MLflow": tracking_uri,
        **{f"images of {facts.name}": facts.manifest for facts in result.datasets},
    }
    print_closing(where, _next_commands(tracking_uri))


def _next_commands(tracking_uri: str) -> list[str]:
    commands = [f"mlflow ui --backend-store-uri {tracking_uri}"]
    if not inside_ray_job():
        commands.append(
            "python jobs/evaluate.py quickstart/evaluate datasets=[YOUR_FOLDER] methods=[bicubic,YOUR_MODEL]"
        )
    return commands

"""The plan job where it is a training run that is estimated."""

import json
from pathlib import Path

from pipelines.estimate.config import EstimateConfig, PlanConfig
from pipelines.estimate.console import duration_text
from pipelines.estimate.training.config import TrainingEstimateConfig
from pipelines.estimate.training.console import training_text
from pipelines.estimate.training.estimate import TrainingEstimate, WithGpus, assumed_machines, estimate_training
from pipelines.estimate.training.measuring import measure_rates
from pipelines.estimate.training.preset import open_preset
from pipelines.estimate.training.rates import TrainingRates, read_training_rates, write_training_rates
from pipelines.estimate.training.work import plan_phases
from rssr.errors import ConfigError, ExitCode, Refused
from rssr.publish import write_aside


def run_training_plan(training: TrainingEstimateConfig, config: PlanConfig) -> ExitCode:
    """Estimate a training run; no image of it is read, and nothing is trained.

    Args:
        training: What to estimate.
        config: The whole configuration.

    Raises:
        ConfigError: The preset or the rates cannot be used.
        Refused: The run does not fit into memory, or exceeds its budget or its time with each number of GPUs.
    """
    method, job = open_preset(training)
    known = _known_rates(training, measure=config.plan.measure)
    phases = plan_phases(method, job)
    rates = measure_rates(method, job, phases) if known is None else known
    machines = assumed_machines(training, rates, job.worker.num_cpus)
    estimate = estimate_training(phases, machines, rates, training, config.plan.price_per_hour)
    print(training_text(estimate, training, config))  # the job's answer, not a log line
    if training.save_rates is not None:
        write_training_rates(rates, Path(training.save_rates))
    if config.plan.json_file is not None:
        with write_aside(Path(config.plan.json_file)) as aside:
            aside.write_text(json.dumps(estimate.to_json(), indent=1) + "\n", encoding="utf-8")
    _check(estimate, config.plan)
    return ExitCode.DONE


def _known_rates(training: TrainingEstimateConfig, *, measure: bool) -> TrainingRates | None:
    """Those of a file; None where they are to be measured."""
    if training.rates is not None:
        return read_training_rates(Path(training.rates))
    if not measure:
        raise ConfigError(
            "How fast image pairs are made is not known, and plan.measure is false.",
            "Leave it out to measure for a minute or two, or give the rates of another machine: training.rates=FILE.",
        )
    return None


def _check(estimate: TrainingEstimate, limits: EstimateConfig) -> None:
    if any(_is_within(found, limits) for found in estimate.table):
        return
    cheapest = min(estimate.table, key=lambda found: found.gpu_hours)
    fastest = min(estimate.table, key=lambda found: found.hours)
    told = f"The fastest, {fastest.num_gpus} GPUs, would take {duration_text(fastest.hours)}"
    if cheapest.money is not None:
        told += f"; the cheapest, {cheapest.num_gpus}, would cost {cheapest.money:,.2f} {limits.currency}"
    raise Refused(
        f"None of the numbers of GPUs stays within plan.budget and plan.max_hours. {told}.", "Raise what is too little."
    )


def _is_within(found: WithGpus, limits: EstimateConfig) -> bool:
    if limits.max_hours is not None and found.hours > limits.max_hours:
        return False
    return limits.budget is None or found.money is None or found.money <= limits.budget

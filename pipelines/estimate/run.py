"""The plan job: what a bulk or training run would take, told before it is started."""

import json
from pathlib import Path

from pipelines.cluster import require_durable_output
from pipelines.estimate.config import PlanConfig
from pipelines.estimate.console import estimate_text
from pipelines.estimate.estimate import Refusal, estimate_run
from pipelines.estimate.imagined import imagined_run
from pipelines.estimate.kept_rates import write_rates
from pipelines.estimate.limits import check_limits, warn_of_full_disks
from pipelines.estimate.planned import planned_run, workload_of
from pipelines.estimate.rates import rates_for
from rssr.errors import ExitCode
from rssr.publish import write_aside


def run_plan(config: PlanConfig) -> ExitCode:
    """Run the job.

    Raises:
        Refused: The run would exceed its budget, its time or its disk.
    """
    if config.training is not None:
        from pipelines.estimate.training.run import run_training_plan  # methods and training take a while to load

        return run_training_plan(config.training, config)
    require_durable_output(config.output.uri)
    if config.plan.imagined is not None:
        workload, rates = imagined_run(config.plan.imagined, config)
        refused = []
    else:
        run = planned_run(config)
        if not run.runnable:
            print(f"Nothing is left to do: {run.num_finished} scenes are finished.")  # the job's answer
            return ExitCode.DONE
        workload, rates = workload_of(run, config), rates_for(run, config)
        refused = [Refusal(scene.name, scene.refusal) for scene in run.refused]
    estimate = estimate_run(workload, refused, rates, config)
    print(estimate_text(estimate, config))  # the job's answer, not a log line
    if config.plan.save_rates is not None:
        write_rates(rates, Path(config.plan.save_rates))
    if config.plan.json_file is not None:
        with write_aside(Path(config.plan.json_file)) as aside:
            aside.write_text(json.dumps(estimate.to_json(), indent=1) + "\n", encoding="utf-8")
    warn_of_full_disks(estimate, config)
    check_limits(estimate, config)
    return ExitCode.DONE

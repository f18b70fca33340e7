"""The estimate of a training run as plain text, for a terminal."""

import math
import textwrap

from pipelines.estimate.config import PlanConfig
from pipelines.estimate.console import bytes_text, duration_text, figure_text
from pipelines.estimate.training.config import TrainingEstimateConfig
from pipelines.estimate.training.estimate import MOST_GPUS, TrainingEstimate, WithGpus
from pipelines.estimate.training.pace import PhaseTime
from pipelines.estimate.training.work import PhaseWork
from rssr.plain_table import format_table

_WIDTH = 118
_WORDS = {
    "arithmetic": "arithmetic of a GPU",
    "network": "bandwidth between machines",
    "links": "bandwidth between GPUs of a machine",
    "cores": "CPU cores that make image pairs",
    "store": "bandwidth of the store",
    "memory": "memory of a GPU",
}

_LEGEND = (
    "USED: GPUs that compute. PAIRS: of a step on each, and in how many micro-batches where they do not fit at once. "
    "STEP: the longest of what goes on side by side: GPU, its arithmetic, with as much of NETWORK, its gradients, as "
    "does not hide behind it; CORES, making pairs; STORE, reading images and writing checkpoints. LIMIT: what would "
    "save most time if there were twice as much of it."
)


def training_text(estimate: TrainingEstimate, training: TrainingEstimateConfig, config: PlanConfig) -> str:
    """Everything that someone at a terminal wants to know, a blank line between its parts.

    Args:
        estimate: Of the run.
        training: What was estimated.
        config: The job's configuration, for the currency.
    """
    changed = f" with {' '.join(training.typed_overrides())}" if training.overrides else ""
    run = f"{training.method}, {training.preset}{changed}, on {', '.join(map(str, training.num_gpus))} GPUs"
    parts = [
        f"Estimate of a training that was not started: {run}",
        _phases(estimate),
        _wrapped(_checkpoints(estimate)),
        _times(estimate),
        _totals(estimate, config),
        "\n".join(_wrapped(line) for line in _limits(estimate)),
        _wrapped(_assumptions(estimate)),
        _wrapped(_measured(estimate)),
    ]
    return "\n\n".join(parts)


def _phases(estimate: TrainingEstimate) -> str:
    header = ["PHASE", "STEPS", "PAIRS A STEP", "SIDE", "ARITHMETIC", "TFLOP A PAIR", "EFLOP IN ALL", "TRAINED"]
    rows = [[*header, "MEMORY", "MORE A PAIR"], *(_row_of(work) for work in estimate.phases)]
    return format_table(rows, right={*range(1, len(rows[0]))} - {4})


def _row_of(work: PhaseWork) -> list[str]:
    return [
        work.phase,
        f"{work.num_steps:,}",
        f"{work.pairs:,}",
        str(work.patch_size),
        work.precision,
        figure_text(work.flops_a_pair / 1e12),
        figure_text(work.all_flops / 1e18),
        f"{work.num_trained:,}",
        bytes_text(work.memory_bytes(0)),
        bytes_text(work.pair_bytes),
    ]


def _checkpoints(estimate: TrainingEstimate) -> str:
    each = ", ".join(
        f"{work.phase} {work.num_checkpoints:,} of {bytes_text(work.checkpoint_bytes)}" for work in estimate.phases
    )
    return (
        f"Checkpoints: {each}; {bytes_text(estimate.checkpoint_bytes)} are written, {bytes_text(estimate.kept_bytes)} "
        "kept."
    )


def _times(estimate: TrainingEstimate) -> str:
    rows = [
        [
            "GPUS",
            "PHASE",
            "USED",
            "STEPS",
            "PAIRS",
            "MEMORY",
            "STEP",
            "GPU",
            "NETWORK",
            "CORES",
            "STORE",
            "TIME",
            "LIMIT",
        ]
    ]
    for found in estimate.table:
        for work, time, limit in zip(estimate.phases, found.times, found.limits, strict=True):
            idle = found.num_gpus - time.num_used
            rows.append(
                [str(found.num_gpus), work.phase, *_cells(time), limit + (f"; {idle} GPUs idle" if idle else "")]
            )
    table = format_table(rows, right={0, *range(2, len(rows[0]) - 1)})
    return f"{table}\n{_wrapped(_LEGEND)}"


def _cells(time: PhaseTime) -> list[str]:
    parts = math.ceil(time.pairs / time.micro_batch)
    seconds = (time.step_s, time.arithmetic_s, time.gradients_s, time.making_s, time.reading_s)
    return [
        str(time.num_used),
        f"{time.num_steps:,}",
        str(time.pairs) if parts == 1 else f"{time.pairs} in {parts}",
        bytes_text(time.memory_bytes),
        *map(_seconds, seconds),
        duration_text(time.seconds / 3600),
    ]


def _totals(estimate: TrainingEstimate, config: PlanConfig) -> str:
    has_price = config.plan.price_per_hour is not None
    header = ["GPUS", "TIME", "GPU-HOURS", *([config.plan.currency] if has_price else []), "COMPUTING", "LONGEST"]
    rows = [header, *(_total(found, estimate) for found in estimate.table)]
    return format_table(rows, right=range(len(header) - 1))


def _total(found: WithGpus, estimate: TrainingEstimate) -> list[str]:
    longest = max(range(len(found.times)), key=lambda number: found.times[number].seconds)
    return [
        str(found.num_gpus),
        duration_text(found.hours),
        figure_text(found.gpu_hours),
        *([] if found.money is None else [figure_text(found.money)]),
        f"{found.at_work:.0%}",
        f"{estimate.phases[longest].phase}: {_WORDS[found.limits[longest]]}",
    ]


def _limits(estimate: TrainingEstimate) -> list[str]:
    """How many GPUs are of use, and where something else than their arithmetic becomes the limit."""
    lines = []
    for work, each, other in zip(estimate.phases, estimate.pairs_each, estimate.other_limits, strict=True):
        if each is None:
            bound = f"a step has {work.pairs} pairs, so that more than {work.pairs} GPUs gain nothing"
        else:
            bound = f"each GPU has {each} pair{'s' * (each != 1)} in a step"
        if other is None:
            until = "up to there" if each is None else f"with up to {MOST_GPUS:,} GPUs"
            lines.append(f"{work.phase}: {bound}; {until} the limit is {_WORDS['arithmetic']}.")
        else:
            lines.append(f"{work.phase}: {bound}; from {other[0]:,} on the limit is {_WORDS[other[1]]}.")
    return lines


def _assumptions(estimate: TrainingEstimate) -> str:
    machines, measured = estimate.machines, estimate.rates.arithmetic
    is_measured = measured is not None and measured.on == "gpu" and measured.flops_per_s.middle == machines.flops_per_s
    return (
        f"Assumed, not measured: {'' if is_measured else f'a GPU sustains {machines.flops_per_s / 1e12:.3g} TFLOP/s; '}"
        f"it has {bytes_text(machines.memory_bytes)} for tensors; {machines.gpus_a_machine} GPUs a machine, "
        f"{bytes_text(machines.link_bytes_per_s)}/s between them and {bytes_text(machines.network_bytes_per_s)}/s "
        f"between machines; gradients travel during {machines.hidden_share:.0%} of the last micro-batch's arithmetic; "
        f"{machines.cores:g} CPU cores beside each GPU, of which its worker reserves {machines.held_cores:g}; the "
        f"store gives {bytes_text(machines.store_bytes_per_s)}/s to all, for {bytes_text(machines.image_bytes)} a "
        "pair, nothing cached, and for checkpoints. All GPUs are alike, held for the whole time, and none fails; "
        "starting, validation, and moments in which one waits for another are not counted."
    )


def _measured(estimate: TrainingEstimate) -> str:
    pairs, arithmetic = estimate.rates.pairs, estimate.rates.arithmetic
    rate = pairs.pairs_per_core_s
    told = (
        f"Measured on {pairs.machine}, {pairs.measured_at}: a CPU core makes {figure_text(rate.middle)} pairs a second "
        f"({rate.low:.3g} to {rate.high:.3g}, {rate.count} times), {pairs.degradation} x{pairs.scale:g}, of "
        f"{pairs.patch_size} pixels out of images of {pairs.image_size}."
    )
    if arithmetic is None:
        return f"{told} No training step was measured."
    where = "one GPU" if arithmetic.on == "gpu" else "one CPU core"
    return (
        f"{told} Measured on {arithmetic.machine}, {arithmetic.measured_at}: {where} sustains "
        f"{arithmetic.flops_per_s.middle / 1e12:.3g} TFLOP/s in steps of {arithmetic.phase}, {arithmetic.precision}, "
        f"{arithmetic.pairs} x {arithmetic.patch_size} pixels ({arithmetic.flops_per_s.low / 1e12:.3g} to "
        f"{arithmetic.flops_per_s.high / 1e12:.3g}, {arithmetic.flops_per_s.count} times)."
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.2g} ms" if seconds < 0.1 else f"{seconds:.2f} s"


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, _WIDTH))

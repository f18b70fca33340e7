"""What there is to do in each phase of a training run: arithmetic, memory, gradients and checkpoints."""

import json
import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from pipelines.estimate.training.arithmetic import checkpoint_bytes, count_flops
from pipelines.experiment.config import JobConfig
from pipelines.experiment.dry_run import PhaseEstimate, estimate_phase
from pipelines.experiment.training import selected_phases
from rssr.errors import ConfigError
from rssr.methods import build_method
from rssr.methods.method import Method
from rssr.methods.phase import PhaseInputs

_META, _GPU = torch.device("meta"), torch.device("cuda")


@dataclass(frozen=True)
class PhaseWork:
    """One phase.

    Attributes:
        phase: Its name.
        num_steps: Optimizer steps as configured.
        pairs: Image pairs of a step, over all GPUs.
        patch_size: Side of the HR patches, pixels; of the largest where it follows the scale.
        precision: Of the arithmetic.
        flops_a_pair: Floating-point operations of one pair in a step.
        num_trained: Parameters that are trained.
        gradient_bytes: What GPUs exchange in a step.
        held_bytes: Memory of weights, gradients and optimizer.
        batch_bytes: Memory of the activations that a micro-batch takes whatever its size.
        pair_bytes: The same of each of its pairs.
        checkpoint_bytes: Of one checkpoint.
        checkpoint_every_n_steps: Interval of checkpoints, steps.
        keep_checkpoints: How many are kept.
    """

    phase: str
    num_steps: int
    pairs: int
    patch_size: int
    precision: str
    flops_a_pair: float
    num_trained: int
    gradient_bytes: float
    held_bytes: float
    batch_bytes: float
    pair_bytes: float
    checkpoint_bytes: float
    checkpoint_every_n_steps: int
    keep_checkpoints: int

    @property
    def all_flops(self) -> float:
        """Of the whole phase."""
        return self.flops_a_pair * self.pairs * self.num_steps

    @property
    def num_checkpoints(self) -> int:
        """That are written; the last step has one."""
        return math.ceil(self.num_steps / self.checkpoint_every_n_steps)

    def memory_bytes(self, micro_batch: int) -> float:
        """Memory of one GPU.

        Args:
            micro_batch: Image pairs that it computes at a time.
        """
        return self.held_bytes + self.batch_bytes + self.pair_bytes * micro_batch


def plan_phases(method: Method, job: JobConfig) -> list[PhaseWork]:
    """What there is to do in the selected phases.

    Args:
        method: The method.
        job: The job's configuration.

    Raises:
        ConfigError: A phase is unknown, or shards its parameters.
    """
    return [_plan(method, job, phase) for phase in selected_phases(method, job)]


def _plan(method: Method, job: JobConfig, name: str) -> PhaseWork:
    config = method.training_config(name)
    if config.parallelism == "shards":
        raise ConfigError(
            f"Phase {name} shards its parameters, and what GPUs then exchange is not estimated.",
            f"Estimate it with {name}.parallelism=replicas.",
        )
    workers = 1 if job.batch_size_of == "step" else max(1, job.workers[1])
    pairs = config.batch_size * config.micro_batches_per_step * workers
    values, scales = json.dumps(method.dump()), job.data.scale_range
    flops, kept_bytes = _counted(method.name, values, name, scales)
    least, most = (_estimated(method.name, values, name, scales, number) for number in (1, max(2, pairs)))
    # Activations grow in step with the pairs, by whichever loss takes most: a line between the ends is never too low.
    pair_bytes = (most.activations.peak - least.activations.peak) / (max(2, pairs) - 1)
    return PhaseWork(
        phase=name,
        num_steps=config.num_steps,
        pairs=pairs,
        patch_size=most.patch_size,
        precision=config.precision,
        flops_a_pair=flops,
        num_trained=most.num_trained,
        gradient_bytes=most.gradient_bytes,
        held_bytes=most.weight_bytes + most.gradient_bytes + most.optimizer_bytes,
        batch_bytes=least.activations.peak - pair_bytes,
        pair_bytes=pair_bytes,
        checkpoint_bytes=kept_bytes,
        checkpoint_every_n_steps=config.checkpoint_every_n_steps,
        keep_checkpoints=config.keep_checkpoints,
    )


# Both take seconds at published sizes, and are asked for the same again where only the machines differ.
@lru_cache(maxsize=32)
def _counted(method_name: str, values: str, name: str, scales: tuple[float, float]) -> tuple[float, int]:
    method = build_method(method_name, json.loads(values))
    with _META:
        phase = method.build_phase(name, PhaseInputs({}, _META, reads_weights=False))
    num_bands = int(method.dump()["in_bands"])
    return count_flops(phase, scales, num_bands), checkpoint_bytes(phase)


@lru_cache(maxsize=32)
def _estimated(
    method_name: str, values: str, name: str, scales: tuple[float, float], micro_batch: int
) -> PhaseEstimate:
    plain = json.loads(values)
    plain[name] = {**plain[name], "batch_size": micro_batch}
    return estimate_phase(build_method(method_name, plain), name, scales, _GPU)

"""How much a training step computes, and what of it a checkpoint keeps; nothing is computed to tell.

Counted are the products of convolutions, linear layers and attention in the forward and backward passes of all
losses, frozen networks included, a multiply-accumulate as two operations. Norms, activations and optimizers are not:
they take memory traffic rather than arithmetic, which the rate that a device sustains in training holds already.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pipelines.experiment.dry_run import costliest_scale, example_batch
from rssr.methods.phase import Batch, Objective, Phase
from rssr.models.memory import pretended_device

_CPU = torch.device("cpu")
_MOMENTS = 2  # that Adam and AdamW keep for every trained parameter


def count_flops(phase: Phase, scale_range: tuple[float, float], num_bands: int) -> float:
    """Floating-point operations of one image pair of a step, as a mean over all steps of a phase.

    Args:
        phase: Built on the device `meta`; of no use afterwards.
        scale_range: Smallest and largest HR/LR ratio; what takes most of the two is told.
        num_bands: Of the images.
    """
    config, objectives = phase.config, phase.objectives()
    networks = [*phase.networks().values(), *(average.target for average in phase.averages())]
    scale = costliest_scale(config, scale_range)
    total = 0
    # A pretended CPU can go backwards; the plain form of attention is made of products, which are counted.
    with pretended_device(networks, _CPU), sdpa_kernel(SDPBackend.MATH):
        batch = example_batch((config.batch_size, num_bands), config.hr_patch_size(scale), scale, _CPU)
        for start, stop in _alike(objectives, config.num_steps):
            with FlopCounterMode(display=False) as counter:
                _step(objectives, batch, start, config.num_steps)
            total += counter.get_total_flops() * (stop - start)
    return total / (config.num_steps * config.batch_size)


def checkpoint_bytes(phase: Phase) -> int:
    """Bytes of one checkpoint: what is trained, its averages, and the optimizers' moments.

    Args:
        phase: On any device.
    """
    objectives = phase.objectives().values()
    kept = [tensor for objective in objectives for tensor in objective.trained_state().values()]
    kept += [tensor for average in phase.averages() for tensor in average.target.state_dict().values()]
    trained = [parameter for objective in objectives for parameter in objective.trained_parameters().values()]
    return _num_bytes(kept) + _MOMENTS * _num_bytes(trained)


def _alike(objectives: Mapping[str, Objective], num_steps: int) -> list[tuple[int, int]]:
    """Ranges of steps in which the same losses are computed; where none is, nothing."""
    ranges = [objective.active_steps(num_steps) for objective in objectives.values()]
    edges = sorted({0, num_steps, *(edge for steps in ranges for edge in (steps.start, steps.stop))})
    return [(start, stop) for start, stop in pairwise(edges) if any(start in steps for steps in ranges)]


def _step(objectives: Mapping[str, Objective], batch: Batch, step: int, num_steps: int) -> None:
    """Losses and gradients as the training loop has them."""
    carry: dict[str, Tensor] = {}
    for objective in objectives.values():
        if step in objective.active_steps(num_steps):
            loss = objective.train()(batch, step, carry)
            torch.autograd.backward(loss.total)
            carry |= loss.carry


def _num_bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

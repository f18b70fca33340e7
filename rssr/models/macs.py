"""Multiply-accumulates (MACs) of a forward pass: what papers call computational cost; one MAC is two FLOPs.

Counted are convolutions, linear layers and the products inside attention. Norms, activations, gates, additions and
resizing are not, as usual. On the device `meta` no value is computed and nothing is allocated.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class MacCount:
    """Multiply-accumulates of one run.

    Attributes:
        layers: Of convolutions and linear layers.
        attention: Of products between activations: scores and weighted values of attention.
        modules: Both together inside each module that was called, by its dotted name below the network.
    """

    layers: int
    attention: int
    modules: Mapping[str, int]

    @property
    def total(self) -> int:
        """Layers and attention."""
        return self.layers + self.attention


def count_macs(network: nn.Module, run: Callable[[], object]) -> MacCount:
    """Count what a run of a network costs.

    Args:
        network: On any device; `meta` costs nothing.
        run: Calls the network, or methods of it, on inputs of the size in question.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as flops, _layer_macs(network) as layers:
        run()
    total = flops.get_total_flops() // 2
    # Names come as `Class.part.of.it`; the network's own, and what is counted for all, have no dot.
    named = {name.partition(".")[2]: sum(by_operator.values()) for name, by_operator in flops.get_flop_counts().items()}
    return MacCount(sum(layers), total - sum(layers), {name: count // 2 for name, count in named.items() if name})


@contextmanager
def _layer_macs(network: nn.Module) -> Iterator[list[int]]:
    """Collects the cost of every call of a convolution or linear layer inside the network."""
    found: list[int] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append(output.numel() * _macs_of_an_output(layer))

    layers = [module for module in network.modules() if isinstance(module, (nn.Linear, *_CONVOLUTIONS))]
    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _macs_of_an_output(layer: nn.Module) -> int:
    """Products summed into one value of a layer's output: all weights that lead to it."""
    weight = layer.get_parameter("weight")
    return weight.numel() // weight.shape[0]

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from rssr.layers.separable import DirectionSeparableConv, FrequencySeparableConv, bottleneck_channels

KINDS = {"slim_fsc": FrequencySeparableConv, "slim_dsc": DirectionSeparableConv}


@pytest.mark.parametrize("file", KINDS)
@pytest.mark.parametrize("case", [0, 1])
def test_separable_convolution_equals_recorded(file: str, case: int, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file(file)
    facts = recorded.facts["config"][case]
    conv = KINDS[file](facts["in_channels"], facts["out_channels"], facts["rate"])
    conv.load_state_dict(recorded.weights(f"case{case}"))
    with torch.no_grad():
        recorded.assert_close(f"out/case{case}.y", conv(recorded.tensors[f"in/case{case}.x"]))


@pytest.mark.parametrize("kind", KINDS.values())
def test_memory_order_does_not_matter(kind: type[nn.Module], generator: torch.Generator) -> None:
    conv, x = kind(16, 24), torch.randn(2, 16, 5, 7, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(conv(x.to(memory_format=torch.channels_last)), conv(x))


def test_narrow_networks_keep_one_channel_in_the_bottleneck() -> None:
    assert [bottleneck_channels(width, 0.25) for width in (1, 3, 4, 30, 320)] == [1, 1, 1, 7, 80]
    assert DirectionSeparableConv(3, 5)(torch.zeros(1, 3, 4, 4)).shape == (1, 5, 4, 4)

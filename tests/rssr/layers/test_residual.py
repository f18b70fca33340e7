from collections.abc import Callable
from typing import Any

import pytest
import torch

from rssr.layers.design import BlockDesign
from rssr.layers.residual import ResidualBlock

WIDTHS = {"res_same": (24, 24), "res_lowvar": (24, 24), "res_shortcut": (24, 48), "res_up": (144, 48)}


@pytest.mark.parametrize("case", WIDTHS)
def test_residual_block_equals_recorded(case: str, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("slim_blocks")
    block = ResidualBlock(*WIDTHS[case], BlockDesign(norm_num_groups=8))
    block.load_state_dict(recorded.weights(case))
    with torch.no_grad():
        recorded.assert_close(f"out/{case}.y", block(recorded.tensors[f"in/{case}.x"]))


@pytest.mark.parametrize(
    ("first", "second"), [("fsc", "dsc"), ("standard", "dsc"), ("fsc", "standard"), ("standard", "standard")]
)
def test_each_convolution_can_be_the_standard_one(first: str, second: str) -> None:
    block = ResidualBlock(8, 16, BlockDesign(norm_num_groups=8, first_conv=first, second_conv=second))
    names = set(block.state_dict())
    assert ("conv1.weight" in names) == (first == "standard")
    assert ("conv2.weight" in names) == (second == "standard")
    assert block(torch.zeros(1, 8, 3, 5)).shape == (1, 16, 3, 5)

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rssr.layers.design import BlockDesign
from rssr.layers.transformer import FeedForward, TransformerBlock


@pytest.mark.parametrize("case", ["transformer", "transformer_lowvar"])
def test_transformer_block_equals_recorded(case: str, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("slim_blocks")
    block = TransformerBlock(24, BlockDesign(norm_num_groups=8))
    block.load_state_dict(recorded.weights(case))
    with torch.no_grad():
        recorded.assert_close(f"out/{case}.y", block(recorded.tensors[f"in/{case}.x"]))


def test_feed_forward_equals_recorded(vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("slim_blocks")
    feed_forward = FeedForward(48)
    feed_forward.load_state_dict(recorded.weights("feed_forward"))
    with torch.no_grad():
        recorded.assert_close("out/feed_forward.y", feed_forward(recorded.tensors["in/feed_forward.x"]))


@pytest.mark.parametrize("attention", ["qgam", "standard"])
def test_memory_order_does_not_matter(attention: str, generator: torch.Generator) -> None:
    block = TransformerBlock(16, BlockDesign(norm_num_groups=8, attention=attention, head_channels=8))
    x = torch.randn(2, 16, 3, 5, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(block(x.to(memory_format=torch.channels_last)), block(x))

"""What attention costs, counted and not timed, up to 256 x 256 positions at the published widths."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.live_bytes import LiveBytes
from rssr.layers.attention import QueryGlobalAggregation, SelfAttention

NUM_TOKENS = [side**2 for side in (32, 64, 128, 256)]
Cost = Callable[[nn.Module, int, int], int]


def tokens_of(num_tokens: int, channels: int) -> Tensor:
    return torch.empty(1, num_tokens, channels, device="meta")


def flops(attention: nn.Module, num_tokens: int, channels: int) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        attention(tokens_of(num_tokens, channels))
    return counter.get_total_flops()


def peak_bytes(attention: nn.Module, num_tokens: int, channels: int) -> int:
    tokens = tokens_of(num_tokens, channels)
    with torch.no_grad(), LiveBytes() as live:
        attention(tokens)
    return live.peak


def saved_bytes(attention: nn.Module, num_tokens: int, channels: int) -> int:
    """What backward needs to keep, each memory block once."""
    found: dict[int, int] = {}
    kept = []

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept.append(storage)  # or another could take its place
        found[storage._cdata] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        attention(tokens_of(num_tokens, channels).requires_grad_())
    return sum(found.values())


def is_straight_line(costs: list[int]) -> bool:
    """Whether each further token costs exactly the same."""
    steps = [
        (costs[i + 1] - costs[i]) * (NUM_TOKENS[1] - NUM_TOKENS[0])
        == (costs[1] - costs[0]) * (NUM_TOKENS[i + 1] - NUM_TOKENS[i])
        for i in range(len(costs) - 1)
    ]
    return all(steps) and costs[1] > costs[0]


@pytest.mark.parametrize("cost", [flops, peak_bytes, saved_bytes])
@pytest.mark.parametrize("channels", [320, 640])
def test_aggregation_costs_the_same_for_every_token(channels: int, cost: Cost) -> None:
    with torch.device("meta"):
        attention = QueryGlobalAggregation(channels)
    costs = [cost(attention, num_tokens, channels) for num_tokens in NUM_TOKENS]
    assert is_straight_line(costs)
    # What does not depend on the tokens (the queries' own projections) is little even beside the fewest.
    fixed = costs[0] - NUM_TOKENS[0] * (costs[1] - costs[0]) // (NUM_TOKENS[1] - NUM_TOKENS[0])
    assert 0 <= fixed < 0.25 * costs[0]


@pytest.mark.parametrize("cost", [flops, peak_bytes, saved_bytes])
def test_self_attention_s_cost_is_noticed_to_be_no_straight_line(cost: Cost) -> None:
    with torch.device("meta"):
        attention = SelfAttention(320)
    assert not is_straight_line([cost(attention, num_tokens, 320) for num_tokens in NUM_TOKENS])


@pytest.mark.parametrize("channels", [320, 640])
def test_no_result_inside_aggregation_has_a_value_for_each_pair_of_tokens(channels: int) -> None:
    num_tokens = NUM_TOKENS[-1]
    with torch.device("meta"):
        attention = QueryGlobalAggregation(channels)
    with torch.no_grad(), LiveBytes() as live:
        attention(tokens_of(num_tokens, channels))
    assert live.largest_numel == num_tokens * channels
    assert live.largest_numel < num_tokens**2 / 100

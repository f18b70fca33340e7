from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.live_bytes import LiveBytes
from rssr.layers.attention import QueryGlobalAggregation, SelfAttention, to_map, to_tokens

NUM_TOKENS = [side**2 for side in (32, 64, 128, 256)]
Cost = Callable[[nn.Module, int, int], int]


@pytest.mark.parametrize("case", [0, 1])
def test_aggregation_equals_recorded(case: int, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("slim_qgam")
    facts = recorded.facts["config"][case]
    attention = QueryGlobalAggregation(facts["dim"], facts["num_queries"], facts["squeeze_dim"])
    attention.load_state_dict(recorded.weights(f"case{case}"))
    with torch.no_grad():
        recorded.assert_close(f"out/case{case}.y", attention(recorded.tensors[f"in/case{case}.x"]))


def test_aggregation_never_holds_a_value_for_each_pair_of_tokens() -> None:
    num_tokens = 2**20  # a score for each pair would take 4 TiB
    attention = QueryGlobalAggregation(2, num_queries=2, query_channels=2)
    with torch.no_grad():
        assert attention(torch.zeros(1, num_tokens, 2)).shape == (1, num_tokens, 2)


def test_aggregation_follows_a_permutation_of_tokens(generator: torch.Generator) -> None:
    attention, tokens = QueryGlobalAggregation(16, 4, 8), torch.randn(2, 30, 16, generator=generator)
    order = torch.randperm(30, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(attention(tokens[:, order]), attention(tokens)[:, order])


def test_weights_to_look_at_are_those_that_forward_collects_with(generator: torch.Generator) -> None:
    attention = QueryGlobalAggregation(16, 4, 8).double()
    tokens = 3 * torch.randn(2, 30, 16, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        weights = attention.collecting_weights(tokens)
        assert weights.shape == (2, 4, 30)
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 4, dtype=torch.float64))
        assert weights.max() > 2 / 30, "no even share, which any other weights could be taken for"
        collected = weights @ attention.v_proj(tokens)
        scores = attention.q_proj_c(tokens) @ attention.k_proj_c(collected).transpose(1, 2)
        read = (16**-0.5 * scores).softmax(dim=-1) @ attention.v_proj_c(collected)
        torch.testing.assert_close(attention.out_proj(read), attention(tokens), rtol=1e-12, atol=1e-12)


def test_queries_learn(generator: torch.Generator) -> None:
    attention = QueryGlobalAggregation(16, 4, 8)
    attention(torch.randn(1, 9, 16, generator=generator)).square().sum().backward()
    assert attention.query.grad is not None
    assert attention.query.grad.abs().max() > 0


def test_self_attention_equals_pytorchs(generator: torch.Generator) -> None:
    ours, theirs = SelfAttention(24, head_channels=8), nn.MultiheadAttention(24, 3, bias=True, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.to_q.weight, ours.to_k.weight, ours.to_v.weight]))
        theirs.in_proj_bias.zero_()
        theirs.out_proj.load_state_dict(ours.to_out[0].state_dict())
        tokens = torch.randn(2, 11, 24, generator=generator)
        torch.testing.assert_close(ours(tokens), theirs(tokens, tokens, tokens)[0], atol=1e-5, rtol=1e-5)


def test_tokens_go_row_by_row_and_back() -> None:
    x = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    tokens = to_tokens(x)
    assert torch.equal(tokens[1, 5 * 2 + 3], x[1, :, 2, 3])
    assert torch.equal(to_map(tokens, 4, 5), x)


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

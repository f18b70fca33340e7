from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rssr.layers.attention import QueryGlobalAggregation
from rssr.methods.figures import HeldOutImage
from rssr.methods.phase import Batch
from rssr.methods.slimdiffsr.attention_pictures import QueryAttention, draw_attention, query_attention, unlike_queries
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.resampling import upsample_bicubic
from rssr.value_map import ValueMap

SIZES: dict[str, Any] = {
    "block_channels": (8, 16),
    "mid_channels": 16,
    "taesd_channels": 8,
    "num_encoder_blocks": (1, 1, 1, 1),
    "num_decoder_blocks": (1, 1, 1, 1),
    "norm_num_groups": 4,
    "num_queries": 6,
    "query_channels": 8,
}


@pytest.fixture
def student() -> SlimDiffSR:
    torch.manual_seed(4)
    network = SlimDiffSR(**SIZES).eval()
    for module in network.modules():
        if isinstance(module, QueryGlobalAggregation):
            module.query.data.mul_(20)  # queries that distinguish
    return network


@pytest.fixture
def upsampled(batch: Batch) -> Tensor:
    return upsample_bicubic(batch.lr, (64, 64))


@pytest.fixture
def images(batch: Batch) -> list[HeldOutImage]:
    pairs = [Batch(batch.lr[[number]], batch.hr[[number]], batch.scale) for number in range(2)]
    return [HeldOutImage(f"{number}.png", pair) for number, pair in enumerate(pairs)]


def test_every_block_is_seen_with_weights_that_sum_to_one(student: SlimDiffSR, upsampled: Tensor) -> None:
    found = query_attention(student, upsampled)
    blocks = [name for name, module in student.unet.named_modules() if isinstance(module, QueryGlobalAggregation)]
    assert [f"{name}.transformer_blocks.0.attn1" for name in found] == blocks
    for name, attention in found.items():
        side = 8 if name.startswith(("down_blocks.0", "up_blocks.1")) else 4
        assert attention.weights.shape == (2, 6, side, side)
        torch.testing.assert_close(attention.weights.sum(dim=(2, 3)), torch.ones(2, 6))
        assert ((attention.share > 0) & (attention.share <= 1 + 1e-5)).all()


def test_weights_reproduce_what_each_module_computed(student: SlimDiffSR, upsampled: Tensor) -> None:
    passed: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            passed[name] = (inputs[0], output)

        return hook

    modules = {n: m for n, m in student.unet.named_modules() if isinstance(m, QueryGlobalAggregation)}
    for name, module in modules.items():
        module.register_forward_hook(keep(name.removesuffix(".transformer_blocks.0.attn1")))
    found = query_attention(student, upsampled)
    assert found.keys() == passed.keys()
    for module, (name, (tokens, output)) in zip(modules.values(), passed.items(), strict=True):
        with torch.no_grad():
            collected = found[name].weights.flatten(2) @ module.v_proj(tokens)
            scores = module.q_proj_c(tokens) @ module.k_proj_c(collected).transpose(1, 2) * tokens.shape[-1] ** -0.5
            read = module.out_proj(scores.softmax(dim=-1) @ module.v_proj_c(collected))
        torch.testing.assert_close(read, output, rtol=1e-4, atol=1e-5)


def test_looking_leaves_nothing_behind(student: SlimDiffSR, upsampled: Tensor) -> None:
    with torch.no_grad():
        before = student(upsampled)
    state = {name: value.clone() for name, value in student.state_dict().items()}
    query_attention(student, upsampled)
    assert all(not module._forward_pre_hooks for module in student.modules())
    assert set(state) == set(student.state_dict())
    with torch.no_grad():
        assert torch.equal(student(upsampled), before)


def test_hooks_are_gone_after_a_failure_too(student: SlimDiffSR) -> None:
    with pytest.raises(RuntimeError):
        query_attention(student, torch.zeros(1, 3, 64, 64, dtype=torch.float64))
    assert all(not module._forward_pre_hooks for module in student.modules())


def attention(*queries: Tensor) -> QueryAttention:
    """Attention in proportion to each of these maps [h, w]."""
    maps = torch.stack(queries)[None]
    return QueryAttention(maps / maps.sum(dim=(2, 3), keepdim=True))


def test_a_share_is_the_part_of_the_image_that_a_query_looks_at() -> None:
    even, half, one = torch.ones(16, 16), torch.ones(16, 16), torch.zeros(16, 16)
    half[:, 8:] = 0
    one[4, 5] = 1
    torch.testing.assert_close(attention(even, half, one).share, torch.tensor([[1, 0.5, 1 / 144]]))


def test_edges_do_not_count() -> None:
    even, bright = torch.ones(16, 16), torch.ones(16, 16)
    bright[:2], bright[-2:], bright[:, :2], bright[:, -2:] = 50, 50, 50, 50
    torch.testing.assert_close(attention(even, bright).share, torch.ones(1, 2))
    assert attention(even).inner.shape == (1, 1, 12, 12)
    assert attention(torch.ones(4, 4)).inner.shape == (1, 1, 4, 4), "too small to have an edge"


def test_a_weight_of_one_is_an_even_share() -> None:
    torch.testing.assert_close(attention(torch.full((8, 8), 7.0)).multiples, torch.ones(1, 1, 8, 8))


def test_the_queries_shown_are_the_most_selective_and_those_unlike_it() -> None:
    generator = torch.Generator().manual_seed(2)
    sharp, other, even = torch.zeros(16, 16), torch.rand(16, 16, generator=generator), torch.ones(16, 16)
    sharp[3:6, 3:6] = 1
    alike = sharp + 0.05
    found = attention(alike, even, other, sharp)
    assert unlike_queries([found], most=2) == [3, 2]
    assert unlike_queries([found], most=9)[:2] == [3, 2]
    assert sorted(unlike_queries([found], most=9)) == [0, 1, 2, 3]


def test_queries_are_drawn_in_multiples_of_an_even_share(student: SlimDiffSR, images: list[HeldOutImage]) -> None:
    figure = draw_attention(student, images)
    assert figure is not None
    assert [row.label for row in figure.rows] == ["0.png", "1.png"]
    passes = [query_attention(student, upsample_bicubic(image.pair.lr, (64, 64))) for image in images]
    shares = {name: torch.cat([run[name].share for run in passes]).mean() for name in passes[0]}
    block = min(shares, key=lambda name: float(shares[name]))
    assert f"`{block}`" in figure.text
    for row, found in zip(figure.rows, passes, strict=True):
        assert len(row.pictures) == 6
        for name, shown in row.pictures.items():
            if name == "HR":
                continue
            assert isinstance(shown, ValueMap)
            query = int(name.removeprefix("query "))
            np.testing.assert_allclose(shown.values, found[block].weights[0, query] * shown.values.size, rtol=1e-6)
            assert np.mean(shown.values) == pytest.approx(1, rel=1e-4)
            inner = found[block].inner[0, query]
            assert shown.limits == pytest.approx((float(inner.min()), float(inner.max())))


def test_a_student_without_queries_has_no_such_figure(images: list[HeldOutImage]) -> None:
    student = SlimDiffSR(**SIZES, attention="standard", head_channels=4).eval()
    assert draw_attention(student, images) is None


def test_sizes_that_the_student_must_pad_are_drawn_too(student: SlimDiffSR, batch: Batch) -> None:
    pair = Batch(batch.lr[:1, :, :12, :10], batch.hr[:1, :, :48, :40], 4.0)
    assert draw_attention(student, [HeldOutImage("odd.png", pair)]) is not None

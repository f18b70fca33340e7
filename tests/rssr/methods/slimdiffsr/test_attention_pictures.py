from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rssr.layers.attention import QueryGlobalAggregation
from rssr.methods.figures import HeldOutImage
from rssr.methods.phase import Batch
from rssr.methods.slimdiffsr.attention_pictures import draw_attention, query_attention
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


def test_an_even_query_looks_at_the_whole_image(student: SlimDiffSR, upsampled: Tensor) -> None:
    for module in student.modules():
        if isinstance(module, QueryGlobalAggregation):
            module.query.data[2] = 0
    for attention in query_attention(student, upsampled).values():
        torch.testing.assert_close(attention.share[:, 2], torch.ones(2))
        assert attention.share[:, 0].max() < 0.999


def test_the_most_selective_queries_are_drawn_in_multiples_of_an_even_share(
    student: SlimDiffSR, images: list[HeldOutImage]
) -> None:
    figure = draw_attention(student, images)
    assert figure is not None
    assert [row.label for row in figure.rows] == ["0.png", "1.png"]
    queries = list(figure.rows[0].pictures)
    assert queries[0] == "HR"
    assert len(queries) == 6
    for row in figure.rows:
        for name in queries[1:]:
            shown = row.pictures[name]
            assert isinstance(shown, ValueMap)
            assert np.mean(shown.values) == pytest.approx(1, rel=1e-4)
    passes = [query_attention(student, upsample_bicubic(image.pair.lr, (64, 64))) for image in images]
    shares = {name: torch.cat([run[name].share for run in passes]).mean(dim=0) for name in passes[0]}
    block = min(shares, key=lambda name: float(shares[name].mean()))
    assert f"`{block}`" in figure.text
    assert queries[1] == f"query {int(shares[block].argmin())}"


def test_a_student_without_queries_has_no_such_figure(images: list[HeldOutImage]) -> None:
    student = SlimDiffSR(**SIZES, attention="standard", head_channels=4).eval()
    assert draw_attention(student, images) is None


def test_sizes_that_the_student_must_pad_are_drawn_too(student: SlimDiffSR, batch: Batch) -> None:
    pair = Batch(batch.lr[:1, :, :12, :10], batch.hr[:1, :, :48, :40], 4.0)
    assert draw_attention(student, [HeldOutImage("odd.png", pair)]) is not None

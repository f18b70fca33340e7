import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rssr.layers.attention import QueryGlobalAggregation, SelfAttention
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.models.macs import MacCount, count_macs


def count(network: nn.Module, *shape: int) -> MacCount:
    return count_macs(network.to("meta"), lambda: network(torch.empty(shape, device="meta")))


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv2d(5, 7, 3, padding=1), (2, 5, 8, 6), 2 * 8 * 6 * 7 * 5 * 9),
        (nn.Conv2d(6, 6, (3, 1), padding=(1, 0), groups=6), (1, 6, 8, 8), 8 * 8 * 6 * 3),
        (nn.Conv2d(4, 4, 3, stride=2, padding=1, bias=False), (1, 4, 8, 8), 4 * 4 * 4 * 4 * 9),
        (nn.Linear(5, 7), (3, 11, 5), 3 * 11 * 7 * 5),
        (nn.Sequential(nn.GroupNorm(2, 4), nn.SiLU(), nn.Upsample(scale_factor=2)), (1, 4, 8, 8), 0),
    ],
    ids=["convolution", "depthwise", "strided", "linear", "no products"],
)
def test_layers_cost_one_product_a_weight_and_output(layer: nn.Module, shape: tuple[int, ...], expected: int) -> None:
    counted = count(layer, *shape)
    assert (counted.layers, counted.attention, counted.total) == (expected, 0, expected)


def test_products_of_attention_are_told_apart() -> None:
    tokens, channels, queries, inner = 50, 16, 4, 8
    standard = count(SelfAttention(channels, head_channels=8), 1, tokens, channels)
    assert (standard.layers, standard.attention) == (4 * tokens * channels**2, 2 * tokens**2 * channels)
    grouped = count(QueryGlobalAggregation(channels, queries, inner), 1, tokens, channels)
    assert grouped.attention == 2 * 2 * queries * tokens * inner
    projections = queries * channels * inner + 4 * tokens * channels * inner + 2 * queries * inner**2
    assert grouped.layers == projections


def test_a_layer_that_is_called_twice_costs_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(self.layer(x))  # type: ignore[no-any-return]

    assert count(Twice(), 3, 4).layers == 2 * 3 * 16


def test_real_tensors_cost_the_same_and_hooks_are_taken_off() -> None:
    layer = nn.Conv2d(3, 4, 3)
    real = count_macs(layer, lambda: layer(torch.zeros(1, 3, 9, 9)))
    assert real == count(nn.Conv2d(3, 4, 3), 1, 3, 9, 9)
    assert not layer._forward_hooks


def test_an_error_inside_the_run_leaves_no_hook() -> None:
    layer = nn.Conv2d(3, 4, 3)
    with pytest.raises(RuntimeError):
        count_macs(layer, lambda: layer(torch.zeros(1, 5, 9, 9)))
    assert not layer._forward_hooks


# Giga MACs of the published student, by the side of the image.
@pytest.mark.parametrize(("side", "total"), [(256, 56.7), (512, 226.7), (1024, 906.8)])
def test_the_published_student_costs_what_was_measured(side: int, total: float) -> None:
    with torch.device("meta"):
        counted = count(SlimDiffSR(), 1, 3, side, side)
    assert round(counted.total / 1e9, 1) == total
    assert sum(counted.modules[name] for name in PARTS) == counted.total


PARTS = {"vae.encoder": 61.2, "merge_conv1": 0.75, "unet": 93.4, "merge_conv2": 0.75, "vae.decoder": 70.7}


def test_every_part_of_the_student_costs_what_was_measured() -> None:
    with torch.device("meta"):
        counted = count(SlimDiffSR(), 1, 3, 512, 512)
    rounded = {name: round(counted.modules[name] / 1e9, 2 if name.startswith("merge") else 1) for name in PARTS}
    assert rounded == PARTS


def test_nothing_is_allocated_on_meta() -> None:
    with torch.device("meta"):
        network = nn.Conv2d(3, 64, 3, padding=1)
    side = 200_000  # an image of 480 GB
    counted = count_macs(network, lambda: F.relu(network(torch.empty(1, 3, side, side, device="meta"))))
    assert counted.layers == side**2 * 64 * 27

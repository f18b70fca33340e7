from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rssr.layers.design import BlockDesign
from rssr.layers.folded import (
    FoldedDirectionSeparableConv,
    FoldedDoubling,
    FoldedFrequencySeparableConv,
    FoldedGatedProjection,
    FoldedImageConv,
    FoldedResidualBlock,
    FoldedTinyBlock,
    PointwiseGatedProjection,
    PointwiseLinear,
    fold_layers,
)
from rssr.layers.resampling import Upsample
from rssr.layers.residual import ResidualBlock
from rssr.layers.separable import DirectionSeparableConv, FrequencySeparableConv
from rssr.layers.tiny_autoencoder import TinyBlock, TinyDecoder
from rssr.layers.transformer import GatedProjection

DESIGN = BlockDesign(norm_num_groups=2)
MAKERS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], nn.Module]]] = {
    "doubling": (lambda: Upsample(6), lambda layer: FoldedDoubling(layer.conv)),
    "direction": (lambda: DirectionSeparableConv(6, 10), FoldedDirectionSeparableConv),
    "frequency": (lambda: FrequencySeparableConv(6, 10), FoldedFrequencySeparableConv),
    "residual": (lambda: ResidualBlock(6, 6, DESIGN), FoldedResidualBlock),
    "residual with shortcut": (lambda: ResidualBlock(6, 10, DESIGN), FoldedResidualBlock),
    "tiny block": (lambda: TinyBlock(6), FoldedTinyBlock),
}


def randomised(layer: nn.Module, generator: torch.Generator) -> nn.Module:
    layer = layer.double().requires_grad_(False)
    for parameter in layer.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 3)
    return layer


def assert_same(found: Tensor, expected: Tensor) -> None:
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 3), (7, 8)])
@pytest.mark.parametrize("kind", MAKERS)
def test_a_folded_layer_is_the_same_function_borders_included(
    kind: str, size: tuple[int, int], generator: torch.Generator
) -> None:
    make, fold = MAKERS[kind]
    layer = randomised(make(), generator)
    x = torch.randn(2, 6, *size, generator=generator, dtype=torch.float64)
    kept = x.clone()
    expected = layer(x)
    assert_same(fold(layer)(x), expected)
    assert torch.equal(x, kept)  # what works in place leaves its input alone


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 8)])
def test_joined_activations_change_nothing_but_rounding(
    dtype: torch.dtype, channels_last: bool, size: tuple[int, int], generator: torch.Generator
) -> None:
    block = randomised(TinyBlock(16), generator)
    x = torch.randn(2, 16, *size, generator=generator).to(dtype)
    kept = x.clone()
    expected = block(x.double())
    order = torch.channels_last if channels_last else torch.contiguous_format
    found = FoldedTinyBlock(block).to(dtype).to(memory_format=order)(x.contiguous(memory_format=order))
    assert found.dtype == dtype
    step = torch.finfo(dtype).eps * expected.abs().max().item()
    torch.testing.assert_close(found.double(), expected, atol=8 * step, rtol=0)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("bias", [True, False])
def test_an_image_of_even_sides_is_made_four_pixels_at_a_time(bias: bool, generator: torch.Generator) -> None:
    conv = randomised(nn.Conv2d(5, 3, 3, padding=1, bias=bias), generator)
    x = torch.randn(2, 5, 6, 10, generator=generator, dtype=torch.float64)
    assert_same(FoldedImageConv(conv)(x), conv(x))


def test_gates_multiply_in_place(generator: torch.Generator) -> None:
    projection = randomised(GatedProjection(6, 10), generator)
    tokens = torch.randn(2, 7, 6, generator=generator, dtype=torch.float64)
    assert_same(FoldedGatedProjection(projection)(tokens), projection(tokens))


@pytest.mark.parametrize("shape", [(1, 6), (9, 6), (1, 7, 6), (2, 3, 5, 6)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_a_convolution_of_tokens(
    shape: tuple[int, ...], bias: bool, generator: torch.Generator
) -> None:
    linear = randomised(nn.Linear(6, 10, bias=bias), generator)
    tokens = torch.randn(shape, generator=generator, dtype=torch.float64)
    assert_same(PointwiseLinear(linear.weight, linear.bias)(tokens), linear(tokens))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 6), (1, 7, 6), (2, 3, 5, 6)])
def test_gates_activate_while_they_are_convolved(
    shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator
) -> None:
    projection = randomised(GatedProjection(6, 16), generator)
    tokens = torch.randn(shape, generator=generator).to(dtype)
    kept, expected = tokens.clone(), projection(tokens.double())
    found = PointwiseGatedProjection(projection.proj).to(dtype)(tokens)
    assert found.dtype == dtype
    step = torch.finfo(dtype).eps * float(expected.abs().max())
    torch.testing.assert_close(found.double(), expected, atol=8 * step, rtol=0)
    assert torch.equal(tokens, kept)


def test_a_whole_decoder_is_folded(generator: torch.Generator) -> None:
    decoder = randomised(TinyDecoder(3, 8, (1, 1, 1)), generator)
    code = torch.randn(2, 8, 3, 5, generator=generator, dtype=torch.float64)
    expected = decoder(code)
    fold_layers(decoder)
    assert_same(decoder(code), expected)
    kinds = [type(layer) for layer in decoder.modules()]
    assert [kinds.count(kind) for kind in (FoldedDoubling, FoldedTinyBlock, FoldedImageConv)] == [2, 3, 1]
    assert nn.Upsample not in kinds


def test_convolutions_without_a_cheaper_form_stay(generator: torch.Generator) -> None:
    design = BlockDesign(norm_num_groups=2, first_conv="standard", second_conv="standard")
    level = nn.Sequential(randomised(ResidualBlock(4, 4, design), generator))
    x = torch.randn(1, 4, 5, 3, generator=generator, dtype=torch.float64)
    expected = level(x)
    fold_layers(level)
    assert_same(level(x), expected)
    assert isinstance(level[0], FoldedResidualBlock)
    assert sum(type(layer) is nn.Conv2d for layer in level.modules()) == 2

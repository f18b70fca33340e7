from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rssr.layers.design import BlockDesign
from rssr.layers.folded import FoldedDirectionSeparableConv, FoldedDoubling, FoldedTinyBlock, fold_layers
from rssr.layers.resampling import Upsample
from rssr.layers.residual import ResidualBlock
from rssr.layers.separable import DirectionSeparableConv
from rssr.layers.tiny_autoencoder import TinyBlock, TinyDecoder

MAKERS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], nn.Module]]] = {
    "doubling": (lambda: Upsample(6), lambda layer: FoldedDoubling(layer.conv)),
    "direction": (lambda: DirectionSeparableConv(6, 10), FoldedDirectionSeparableConv),
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


def test_a_whole_decoder_is_folded(generator: torch.Generator) -> None:
    decoder = randomised(TinyDecoder(3, 8, (1, 1, 1)), generator)
    code = torch.randn(2, 8, 3, 5, generator=generator, dtype=torch.float64)
    expected = decoder(code)
    fold_layers(decoder)
    assert_same(decoder(code), expected)
    kinds = [type(layer) for layer in decoder.modules()]
    assert (kinds.count(FoldedDoubling), kinds.count(FoldedTinyBlock)) == (2, 3)
    assert nn.Upsample not in kinds


def test_convolutions_without_a_cheaper_form_stay(generator: torch.Generator) -> None:
    design = BlockDesign(norm_num_groups=2, first_conv="standard", second_conv="standard")
    block = randomised(ResidualBlock(4, 4, design), generator)
    kinds = [type(layer) for layer in block.modules()]
    fold_layers(block)
    assert [type(layer) for layer in block.modules()] == kinds

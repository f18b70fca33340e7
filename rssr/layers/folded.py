"""Cheaper forms of layers for inference: the same functions of the same weights, up to rounding.

Each form follows from linearity alone, borders included, and holds tensors derived from the layer it replaces:
nothing here is trained or saved.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rssr.layers.resampling import Upsample
from rssr.layers.separable import DirectionSeparableConv, apply_gates
from rssr.layers.tiny_autoencoder import TinyBlock, TinyDecoder


class FoldedDoubling(nn.Module):
    """Repetition to twice the size and a 3×3 convolution, as one transposed 4×4 convolution of stride 2.

    An output pixel sees at most 2×2 different input pixels, so weights that meet the same pixel are added up
    beforehand: 4 products in place of 9, and the enlarged map is never written.

    Args:
        conv: The 3×3 convolution after the repetition; padding 1, stride 1.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        kernel = conv.weight.new_zeros(conv.in_channels, conv.out_channels, 4, 4)
        flipped = conv.weight.detach().transpose(0, 1).flip(2, 3)
        for row in (0, 1):
            for column in (0, 1):
                kernel[:, :, row : row + 3, column : column + 3] += flipped
        self.weight = nn.Parameter(kernel, requires_grad=False)
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, out_channels, 2H, 2W]."""
        return F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1)


class FoldedDirectionSeparableConv(nn.Module):
    """A `DirectionSeparableConv` that filters along rows once instead of twice.

    The row filter is linear: g₁·R(C(x)) + g₂·R(x) = R(g₁·C(x) + g₂·x).

    Args:
        conv: The layer; its parts become this one's.
    """

    def __init__(self, conv: DirectionSeparableConv) -> None:
        super().__init__()
        self.h_conv, self.v_conv, self.mlp = conv.h_conv, conv.v_conv, conv.mlp
        self.conv_reduce, self.conv_expand = conv.conv_reduce, conv.conv_expand

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H, W]."""
        column_gate, composed_gate, row_gate = apply_gates(self.mlp, x)
        column = self.h_conv(x)
        rows = self.v_conv(torch.addcmul(composed_gate * column, row_gate, x))
        mixed: Tensor = self.conv_expand(self.conv_reduce(torch.addcmul(rows, column_gate, column)))
        return mixed


class FoldedTinyBlock(nn.Module):
    """A `TinyBlock` that adds and activates in place.

    Args:
        block: The layer; its convolutions become this one's.
    """

    def __init__(self, block: TinyBlock) -> None:
        super().__init__()
        self.convs = nn.ModuleList([layer for layer in block.conv if isinstance(layer, nn.Conv2d)])

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        first, second, last = self.convs
        hidden = second(first(x).relu_()).relu_()
        out: Tensor = last(hidden).add_(x).relu_()
        return out


def fold_layers(network: nn.Module) -> None:
    """Replace every layer below a network that has a cheaper form, in place."""
    for module in list(network.modules()):
        if isinstance(module, TinyDecoder):
            _fold_doublings(module.layers)
        for name, child in list(module.named_children()):
            if isinstance(child, Upsample):
                setattr(module, name, FoldedDoubling(child.conv))
            elif isinstance(child, DirectionSeparableConv):
                setattr(module, name, FoldedDirectionSeparableConv(child))
            elif isinstance(child, TinyBlock):
                setattr(module, name, FoldedTinyBlock(child))


def _fold_doublings(layers: nn.Sequential) -> None:
    """Join each repetition to the convolution after it."""
    for (name, layer), (next_name, following) in pairwise(list(layers.named_children())):
        if isinstance(layer, nn.Upsample) and isinstance(following, nn.Conv2d):
            setattr(layers, name, nn.Identity())
            setattr(layers, next_name, FoldedDoubling(following))

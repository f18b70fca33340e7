"""Cheaper forms of layers for inference: the same functions of the same weights, up to rounding.

Each form follows from linearity alone, borders included, and holds tensors derived from the layer it replaces:
nothing here is trained or saved.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rssr.layers.resampling import Upsample
from rssr.layers.residual import ResidualBlock
from rssr.layers.separable import DirectionSeparableConv, FrequencySeparableConv, apply_gates
from rssr.layers.tiny_autoencoder import TinyBlock, TinyDecoder
from rssr.layers.transformer import GatedProjection, TransformerBlock


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


class FoldedFrequencySeparableConv(nn.Module):
    """A `FrequencySeparableConv` that weighs and adds in place.

    Args:
        conv: The layer; its parts become this one's.
    """

    def __init__(self, conv: FrequencySeparableConv) -> None:
        super().__init__()
        self.low_branch, self.high_branch, self.mlp = conv.low_branch, conv.high_branch, conv.mlp
        self.bottleneck = conv.bottleneck

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H, W]."""
        low_gate, high_gate = apply_gates(self.mlp, x)
        low = self.low_branch(x)
        high = self.high_branch(x - low)
        mixed: Tensor = self.bottleneck(high.mul_(high_gate).addcmul_(low_gate, low))
        return mixed


class FoldedResidualBlock(nn.Module):
    """A `ResidualBlock` that adds and activates in place.

    Args:
        block: The layer; its parts become this one's.
    """

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.norm1, self.conv1, self.norm2, self.conv2 = block.norm1, block.conv1, block.norm2, block.conv2
        self.conv_shortcut = block.conv_shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H, W]."""
        hidden = self.conv1(F.silu(self.norm1(x), inplace=True))
        hidden = self.conv2(F.silu(self.norm2(hidden), inplace=True))
        out: Tensor = hidden.add_(self.conv_shortcut(x))
        return out


class FoldedGatedProjection(nn.Module):
    """A `GatedProjection` that multiplies in place.

    Args:
        projection: The layer; its part becomes this one's.
    """

    def __init__(self, projection: GatedProjection) -> None:
        super().__init__()
        self.proj = projection.proj

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [..., channels] to [..., hidden]."""
        value, gate = self.proj(tokens).chunk(2, dim=-1)
        return F.gelu(gate).mul_(value)


class FoldedImageConv(nn.Module):
    """A 3×3 convolution to very few channels, as a 4×4 convolution of stride 2 to four times as many.

    Each position yields 2×2 output pixels at once, which then spread. Kernels compute channels by the dozen: three
    alone cost as much as sixteen.

    Args:
        conv: The convolution; padding 1, stride 1. Heights and widths must be even.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        kernel = conv.weight.new_zeros(conv.out_channels, 2, 2, conv.in_channels, 4, 4)
        for row in (0, 1):
            for column in (0, 1):
                kernel[:, row, column, :, row : row + 3, column : column + 3] = conv.weight.detach()
        self.weight = nn.Parameter(kernel.flatten(0, 2), requires_grad=False)
        bias = None if conv.bias is None else conv.bias.detach().repeat_interleave(4)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, out_channels, H, W]."""
        return F.pixel_shuffle(F.conv2d(x, self.weight, self.bias, stride=2, padding=1), 2)


class FoldedTinyBlock(nn.Module):
    """A `TinyBlock` that activates while it convolves, where PyTorch can, and else in place, as it adds.

    Args:
        block: The layer; its convolutions become this one's.
    """

    def __init__(self, block: TinyBlock) -> None:
        super().__init__()
        self.convs = nn.ModuleList([layer for layer in block.conv if isinstance(layer, nn.Conv2d)])

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        first, second, last = self.convs
        hidden = x
        for conv in (first, second):
            weight, bias = conv.get_parameter("weight"), conv._parameters["bias"]
            hidden = _convolve_and_activate(hidden, weight, bias, 1, "relu")
        out: Tensor = last(hidden).add_(x).relu_()
        return out


def _convolve_and_activate(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, activation: str) -> Tensor:
    """`activation` ("relu" or the exact "gelu") of a convolution; on a CPU in one pass over the result."""
    if x.device.type != "cpu" or x.dtype not in _JOINED_TYPES or not _HAS_JOINED or torch.compiler.is_compiling():
        convolved = F.conv2d(x, weight, bias, padding=padding)
        return convolved.relu_() if activation == "relu" else F.gelu(convolved)
    around, ones, algorithm = [padding, padding], [1, 1], "" if activation == "relu" else "none"
    joined: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, around, ones, ones, 1, activation, [], algorithm
    )
    return joined


_JOINED_TYPES = (torch.float32, torch.bfloat16)
# oneDNN's, as PyTorch's own compiler calls it; not part of the public interface, so it may be gone one day.
_HAS_JOINED = hasattr(torch.ops.mkldnn, "_convolution_pointwise")


class PointwiseLinear(nn.Module):
    """A linear layer as a 1×1 convolution, in which oneDNN adds the bias while it multiplies.

    PyTorch's own linear layer copies the bias to all tokens first. In bfloat16 on a CPU that is a tenth of its time.

    Args:
        weight: The layer's, [out_features, in_features].
        bias: The layer's, [out_features], or None.
        gelu: Whether the result passes the exact GELU.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach()[:, :, None, None].clone(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)
        self.gelu = gelu

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [..., in_features] to [..., out_features]."""
        # Tokens are the columns of a map one pixel high; only so is their order in memory known as channels last.
        row = tokens.flatten(0, -2)[None].transpose(1, 2).unsqueeze(2)
        if self.gelu:
            out = _convolve_and_activate(row, self.weight, self.bias, 0, "gelu")
        else:
            out = F.conv2d(row, self.weight, self.bias)
        return out[0, :, 0].t().reshape(*tokens.shape[:-1], -1)


class PointwiseGatedProjection(nn.Module):
    """A `GatedProjection` as two 1×1 convolutions, of which the gates' activates while it multiplies.

    Args:
        proj: Its linear layer.
    """

    def __init__(self, proj: nn.Linear) -> None:
        super().__init__()
        (value, gate), biases = proj.weight.chunk(2), (None, None) if proj.bias is None else proj.bias.chunk(2)
        self.value = PointwiseLinear(value, biases[0])
        self.gate = PointwiseLinear(gate, biases[1], gelu=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [..., channels] to [..., hidden]."""
        gated: Tensor = self.gate(tokens).mul_(self.value(tokens))
        return gated


_FORMS: Mapping[type[nn.Module], Callable[[Any], nn.Module]] = MappingProxyType(
    {
        Upsample: lambda layer: FoldedDoubling(layer.conv),
        FrequencySeparableConv: FoldedFrequencySeparableConv,
        DirectionSeparableConv: FoldedDirectionSeparableConv,
        ResidualBlock: FoldedResidualBlock,
        GatedProjection: FoldedGatedProjection,
        TinyBlock: FoldedTinyBlock,
    }
)


def fold_layers(network: nn.Module) -> None:
    """Replace every layer below a network that has a cheaper form, in place."""
    for module in network.children():
        fold_layers(module)
    if isinstance(network, TinyDecoder):
        _fold_decoder(network.layers)
    for name, child in list(network.named_children()):
        if type(child) in _FORMS:
            setattr(network, name, _FORMS[type(child)](child))


def convolve_tokens(network: nn.Module) -> None:
    """Make every linear layer of the transformer blocks below a network a convolution of one pixel, in place."""
    for block in [module for module in network.modules() if isinstance(module, TransformerBlock)]:
        _convolve_linear_layers(block)


def _convolve_linear_layers(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, PointwiseLinear(child.weight, child.bias))
        elif isinstance(child, GatedProjection | FoldedGatedProjection):
            setattr(module, name, PointwiseGatedProjection(child.proj))
        else:
            _convolve_linear_layers(child)


def _fold_decoder(layers: nn.Sequential) -> None:
    """Join each repetition to the convolution after it, and let the last convolution make four pixels at once."""
    for (name, layer), (next_name, following) in pairwise(list(layers.named_children())):
        if isinstance(layer, nn.Upsample) and isinstance(following, nn.Conv2d):
            setattr(layers, name, nn.Identity())
            setattr(layers, next_name, FoldedDoubling(following))
    name, last = list(layers.named_children())[-1]
    if isinstance(last, nn.Conv2d) and any(isinstance(layer, FoldedDoubling) for layer in layers):
        setattr(layers, name, FoldedImageConv(last))

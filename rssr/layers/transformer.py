"""Transformer block of the pruned U-Net: one attention and a gated feed-forward, no cross-attention."""

from torch import Tensor, nn
from torch.nn import functional as F

from rssr.layers.attention import QueryGlobalAggregation, SelfAttention, to_map, to_tokens
from rssr.layers.design import BlockDesign

_EXPANSION = 4  # inner width of the feed-forward, as in Stable Diffusion


class GatedProjection(nn.Module):
    """GEGLU: one linear layer yields values and gates, in that order; the gates pass the exact GELU."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 2 * hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [..., channels] to [..., hidden]."""
        value, gate = self.proj(tokens).chunk(2, dim=-1)
        gated: Tensor = value * F.gelu(gate)
        return gated


class FeedForward(nn.Module):
    """Gated projection to four times the width and back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = _EXPANSION * channels
        # Position 1 is Stable Diffusion's dropout, which is zero; it keeps the key names aligned.
        self.net = nn.Sequential(GatedProjection(channels, hidden), nn.Identity(), nn.Linear(hidden, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [B, N, channels] to [B, N, channels]."""
        out: Tensor = self.net(tokens)
        return out


class TokenBlock(nn.Module):
    """Pre-norm attention and feed-forward on tokens [B, N, channels], each with a residual sum."""

    def __init__(self, channels: int, design: BlockDesign) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = _attention(channels, design)
        self.norm3 = nn.LayerNorm(channels)  # norm2 belonged to the dropped cross-attention
        self.ff = FeedForward(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [B, N, channels] to [B, N, channels]."""
        tokens = tokens + self.attn1(self.norm1(tokens))
        out: Tensor = tokens + self.ff(self.norm3(tokens))
        return out


class TransformerBlock(nn.Module):
    """Normalise a feature map, process it as tokens, add it back.

    Args:
        channels: Channels of the map.
        design: Which attention to use, and the groups of the norm.
    """

    def __init__(self, channels: int, design: BlockDesign) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(design.norm_num_groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TokenBlock(channels, design)])
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels, H, W] to the same shape."""
        tokens = self.proj_in(to_tokens(self.norm(x)))
        for block in self.transformer_blocks:
            tokens = block(tokens)
        return x + to_map(self.proj_out(tokens), x.shape[2], x.shape[3])


def _attention(channels: int, design: BlockDesign) -> nn.Module:
    if design.attention == "qgam":
        return QueryGlobalAggregation(channels, design.num_queries, design.query_channels)
    return SelfAttention(channels, channels // design.num_heads if design.num_heads else design.head_channels)

"""Attention over image tokens: SlimDiffSR's query-driven aggregation and the standard self-attention.

Source: SlimDiffSR, section 3.4 (QGAM). The released network scales the scores of both attentions by the inverse
root of the block width, although keys are `query_channels` wide; we follow the network, not the text.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class QueryGlobalAggregation(nn.Module):
    """Two cross-attentions through a few learned queries: cost grows linearly with the number of pixels.

    The queries first collect from all tokens; every token then reads from what was collected.

    Args:
        channels: Width of the tokens.
        num_queries: Number of learned queries.
        query_channels: Inner width of keys, values and collected descriptors.
    """

    def __init__(self, channels: int, num_queries: int = 32, query_channels: int = 64) -> None:
        super().__init__()
        self.score_scale = channels**-0.5
        self.query = nn.Parameter(torch.empty(num_queries, channels))
        nn.init.normal_(self.query)
        self.q_proj = nn.Linear(channels, query_channels, bias=False)
        self.k_proj = nn.Linear(channels, query_channels, bias=False)
        self.v_proj = nn.Linear(channels, query_channels, bias=False)
        self.q_proj_c = nn.Linear(channels, query_channels, bias=False)
        self.k_proj_c = nn.Linear(query_channels, query_channels, bias=False)
        self.v_proj_c = nn.Linear(query_channels, query_channels, bias=False)
        self.out_proj = nn.Linear(query_channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [B, N, channels] to [B, N, channels]."""
        queries = self.q_proj(self.query).expand(tokens.shape[0], -1, -1)
        collected = self._attend(queries, self.k_proj(tokens), self.v_proj(tokens))
        read = self._attend(self.q_proj_c(tokens), self.k_proj_c(collected), self.v_proj_c(collected))
        out: Tensor = self.out_proj(read)
        return out

    def collecting_weights(self, tokens: Tensor) -> Tensor:
        """How much each learned query takes from each token in `forward`, to be looked at (Fig. 16).

        Args:
            tokens: [B, N, channels].

        Returns:
            [B, num_queries, N]; the weights of a query sum to one.
        """
        scores = self.q_proj(self.query) @ self.k_proj(tokens).transpose(1, 2)
        weights: Tensor = (self.score_scale * scores).softmax(dim=-1)
        return weights

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        # A head dimension of one lets PyTorch pick its memory-saving kernels.
        attended = F.scaled_dot_product_attention(
            query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1), scale=self.score_scale
        )
        return attended.squeeze(1)


class SelfAttention(nn.Module):
    """Multi-head self-attention with Stable Diffusion's key names; cost grows with the square of the pixels.

    Args:
        channels: Width of the tokens.
        head_channels: Width of one head; must divide `channels`.
        bias: Whether the three input projections have biases (the autoencoder's do, the U-Net's do not).
    """

    def __init__(self, channels: int, head_channels: int = 64, bias: bool = False) -> None:
        super().__init__()
        self.num_heads = channels // head_channels
        self.to_q = nn.Linear(channels, channels, bias=bias)
        self.to_k = nn.Linear(channels, channels, bias=bias)
        self.to_v = nn.Linear(channels, channels, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [B, N, channels] to [B, N, channels]."""
        query, key, value = (
            projection(tokens).reshape(*tokens.shape[:2], self.num_heads, -1).transpose(1, 2)
            for projection in (self.to_q, self.to_k, self.to_v)
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.to_out[0](attended.transpose(1, 2).flatten(2))
        return out


def to_tokens(x: Tensor) -> Tensor:
    """Rows first: [B, C, H, W] to [B, H·W, C], whatever the memory order."""
    return x.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `to_tokens`."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], height, width)

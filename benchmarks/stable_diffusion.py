"""Stable Diffusion 2.1's U-Net and SlimDiffSR's teacher in plain PyTorch, to compare speeds with.

They run where diffusers is not installed; attribute names are those of its weights, so that both can be compared.
The teacher's adapters count as merged into the weights beside them, which is the same function at less cost.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rssr.diffusion.inversion import bound_signal_share, invert_schedule
from rssr.diffusion.schedule import denoise_in_one_step, scaled_linear_schedule
from rssr.layers.attention import to_map, to_tokens
from rssr.layers.resampling import Downsample, Upsample
from rssr.layers.transformer import FeedForward
from rssr.methods.slimdiffsr.networks import NoiseLevelPredictor, UncertaintyEstimator
from rssr.models.autoencoder_kl import AutoencoderKL

PROMPT_TOKENS = 77
HEAD_CHANNELS = 64

TimeAt = Callable[[Tensor], Tensor]
"""Gives the time embedding [B, h, w, D] at the size of a map; h = w = 1 where it is the same everywhere."""


class StableDiffusionUNet(nn.Module):
    """UNet2DConditionModel of Stable Diffusion 2.1: 865,910,724 parameters at its own sizes.

    Args:
        channels: Width of each level; the deepest goes without attention.
        context_channels: Width of the text embedding.
        groups: Groups of every GroupNorm.
    """

    def __init__(
        self, channels: Sequence[int] = (320, 640, 1280, 1280), context_channels: int = 1024, groups: int = 32
    ) -> None:
        super().__init__()
        first, deepest = channels[0], len(channels) - 1
        self.time_channels, time = first, 4 * first
        self.time_embedding = nn.ModuleDict({"linear_1": nn.Linear(first, time), "linear_2": nn.Linear(time, time)})
        self.conv_in = nn.Conv2d(4, first, 3, padding=1)
        context = [context_channels if level < deepest else None for level in range(len(channels))]
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        skips, before = [first], first
        for level, width in enumerate(channels):
            block = _Level([before, width], width, time, context[level], groups)
            block.downsamplers.extend([Downsample(width)] if level < deepest else [])
            self.down_blocks.append(block)
            skips += [width, width, *([width] if level < deepest else [])]
            before = width
        self.mid_block = _Level([before, before], before, time, context_channels, groups, num_attentions=1)
        for level in range(deepest, -1, -1):
            inputs = [(before if i == 0 else channels[level]) + skips.pop() for i in range(3)]
            block = _Level(inputs, channels[level], time, context[level], groups)
            block.upsamplers.extend([Upsample(channels[level])] if level > 0 else [])
            self.up_blocks.append(block)
            before = channels[level]
        self.conv_norm_out = nn.GroupNorm(groups, first, eps=1e-5)
        self.conv_out = nn.Conv2d(first, 4, 3, padding=1)

    def forward(self, latent: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        """Predict the noise.

        Args:
            latent: [B, 4, h, w], sizes divisible by 8.
            timestep: [B or 1, 1, 1, 1], or a map [B, 1, h, w] as the teacher has it.
            context: Text embedding [B, tokens, context_channels].
        """
        time_at = self._time(timestep, latent.dtype)
        x = self.conv_in(latent)
        skips = [x]
        for block in self.down_blocks:
            x, made = block(x, time_at, context, [])
            skips += made
        first, last = self.mid_block.resnets
        x = last(self.mid_block.attentions[0](first(x, time_at), context), time_at)
        for block in self.up_blocks:
            x, _ = block(x, time_at, context, [skips.pop() for _ in range(3)])
        out: Tensor = self.conv_out(F.silu(self.conv_norm_out(x)))
        return out

    def _time(self, timestep: Tensor, dtype: torch.dtype) -> TimeAt:
        half = self.time_channels // 2
        rates = torch.exp(torch.arange(half, device=timestep.device) * (-math.log(10000) / half))
        angles = timestep.permute(0, 2, 3, 1).float() * rates
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1).to(dtype)
        embedding = self.time_embedding["linear_2"](F.silu(self.time_embedding["linear_1"](waves)))
        maps = embedding.permute(0, 3, 1, 2)

        def at(x: Tensor) -> Tensor:
            size = (min(maps.shape[2], x.shape[2]), min(maps.shape[3], x.shape[3]))
            return F.adaptive_avg_pool2d(maps, size).permute(0, 2, 3, 1)

        return at


class OneStepTeacher(nn.Module):
    """SlimDiffSR's teacher: encode, predict the noise level of every latent position, denoise once, decode."""

    def __init__(
        self, unet: StableDiffusionUNet, vae: AutoencoderKL, estimator: nn.Module, predictor: nn.Module
    ) -> None:
        super().__init__()
        self.unet, self.vae, self.estimator, self.predictor = unet, vae, estimator, predictor
        self.schedule = scaled_linear_schedule()

    def forward(self, lr_upsampled: Tensor, context: Tensor) -> Tensor:
        """Map LR images at the target size [B, 3, H, W] to SR images of the same size."""
        latent = self.vae.encode(lr_upsampled)
        mean, log_variance = self.estimator(latent)
        share = bound_signal_share(self.predictor(mean, log_variance.exp()), self.schedule)
        noise = self.unet(latent, invert_schedule(share, self.schedule), context)
        return self.vae.decode(denoise_in_one_step(latent, noise, share.to(latent.dtype)))


def create_teacher() -> OneStepTeacher:
    """The teacher at full size, with random weights."""
    return OneStepTeacher(StableDiffusionUNet(), AutoencoderKL(), UncertaintyEstimator(), NoiseLevelPredictor())


class _Level(nn.Module):
    def __init__(
        self,
        inputs: Sequence[int],
        width: int,
        time: int,
        context: int | None,
        groups: int,
        num_attentions: int | None = None,
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([_Resnet(channels, width, time, groups) for channels in inputs])
        self.attentions = nn.ModuleList()
        if context is not None:
            wanted = len(inputs) if num_attentions is None else num_attentions
            self.attentions.extend(_Transformer(width, context, groups) for _ in range(wanted))
        self.downsamplers, self.upsamplers = nn.ModuleList(), nn.ModuleList()

    def forward(
        self, x: Tensor, time_at: TimeAt, context: Tensor, skips: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """The level's output and the outputs of all its layers; up levels take a skip for each residual block."""
        made = []
        for index, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, skips[index]], dim=1) if skips else x, time_at)
            x = self.attentions[index](x, context) if self.attentions else x
            made.append(x)
        for resampler in (*self.downsamplers, *self.upsamplers):
            x = resampler(x)
            made.append(x)
        return x, made


class _Resnet(nn.Module):
    def __init__(self, in_channels: int, channels: int, time: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, in_channels, eps=1e-5)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, channels)
        self.norm2 = nn.GroupNorm(groups, channels, eps=1e-5)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, channels, 1) if in_channels != channels else nn.Identity()

    def forward(self, x: Tensor, time_at: TimeAt) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = hidden + self.time_emb_proj(F.silu(time_at(hidden))).permute(0, 3, 1, 2)
        out: Tensor = self.conv2(F.silu(self.norm2(hidden))) + self.conv_shortcut(x)
        return out


class _Attention(nn.Module):
    def __init__(self, channels: int, context_channels: int) -> None:
        super().__init__()
        self.num_heads = channels // HEAD_CHANNELS
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_channels, channels, bias=False)
        self.to_v = nn.Linear(context_channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        projected = (self.to_q(tokens), self.to_k(context), self.to_v(context))
        heads = (value.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for value in projected)
        out: Tensor = self.to_out[0](F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
        return out


class _TokenBlock(nn.Module):
    def __init__(self, channels: int, context_channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.attn1 = _Attention(channels, channels)
        self.attn2 = _Attention(channels, context_channels)
        self.ff = FeedForward(channels)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        normed = self.norm1(tokens)
        tokens = tokens + self.attn1(normed, normed)
        tokens = tokens + self.attn2(self.norm2(tokens), context)
        out: Tensor = tokens + self.ff(self.norm3(tokens))
        return out


class _Transformer(nn.Module):
    def __init__(self, channels: int, context_channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([_TokenBlock(channels, context_channels)])
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        tokens = self.transformer_blocks[0](self.proj_in(to_tokens(self.norm(x))), context)
        return x + to_map(self.proj_out(tokens), x.shape[2], x.shape[3])

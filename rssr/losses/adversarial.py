"""Adversarial loss with a discriminator on frozen vision-transformer features.

The paper says only that the discriminator starts from DINO (section 3.5.1). Ours keeps DINO's ViT-S/16 frozen and
trains light convolutional heads at several depths, with the hinge loss.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# DINO was trained on images normalised by ImageNet's mean and deviation of [0, 1] values.
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


class FeatureExtractor(Protocol):
    """A frozen network that returns token maps of several depths."""

    def __call__(self, image: Tensor) -> Sequence[Tensor]:
        """Maps [B, D, h, w] of normalised images [B, 3, H, W]."""


class Discriminator(nn.Module):
    """One logit a token and depth.

    Args:
        extractor: Frozen feature network (a module).
        width: Channels of its maps.
        num_depths: How many maps it returns.
        head_channels: Width inside a head.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, extractor: nn.Module, width: int, num_depths: int, head_channels: int = 128) -> None:
        super().__init__()
        self.extractor = extractor.requires_grad_(False).eval()
        self.heads = nn.ModuleList(_head(width, head_channels) for _ in range(num_depths))
        self.register_buffer("mean", torch.tensor(_MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).reshape(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> "Discriminator":
        """Heads follow the mode; the extractor stays in evaluation mode."""
        super().train(mode)
        self.extractor.eval()
        return self

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logit maps [B, 1, h, w] by depth, of images [B, 3, H, W] in [-1, 1]; larger means more like HR."""
        normalised = (image / 2 + 0.5 - self.mean) / self.deviation
        return [head(tokens) for head, tokens in zip(self.heads, self.extractor(normalised), strict=True)]


def generator_loss(discriminator: Discriminator, sr: Tensor) -> Tensor:
    """Minus the mean logit of SR images; gradients reach the images, not the discriminator's heads."""
    frozen = {name: p.detach() for name, p in discriminator.named_parameters()}
    logits = torch.func.functional_call(discriminator, frozen, (sr,))
    return torch.stack([-logit.mean() for logit in logits]).mean()


def discriminator_loss(discriminator: Discriminator, hr: Tensor, sr: Tensor) -> Tensor:
    """Hinge loss, the mean over depths of half E[relu(1 - D(hr))] + E[relu(1 + D(sr))].

    Args:
        discriminator: Network to train.
        hr: [B, 3, H, W] in [-1, 1].
        sr: Same shape; detached by the caller.
    """
    pairs = zip(discriminator(hr), discriminator(sr), strict=True)
    return torch.stack([0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) for real, fake in pairs]).mean()


def _head(width: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, channels, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(channels, 1, 1),
    )

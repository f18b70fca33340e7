"""LPIPS: a perceptual distance on VGG-16 features.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", version 0.1 of the linear
weights.

Weights come from `rssr.weights.auxiliary`; this file holds the arithmetic only.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Convolutions of VGG-16's five stages, as (index in torchvision's `features`, in, out).
_STAGES = (
    ((0, 3, 64), (2, 64, 64)),
    ((5, 64, 128), (7, 128, 128)),
    ((10, 128, 256), (12, 256, 256), (14, 256, 256)),
    ((17, 256, 512), (19, 512, 512), (21, 512, 512)),
    ((24, 512, 512), (26, 512, 512), (28, 512, 512)),
)
# ImageNet's mean and deviation, expressed for images in [-1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPS = 1e-10


class LPIPS(nn.Module):
    """Distance of two images; smaller is more alike. All weights are frozen."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {str(index): nn.Conv2d(cin, cout, 3, padding=1) for stage in _STAGES for index, cin, cout in stage}
        )
        self.linear = nn.ParameterList([torch.zeros(1, stage[-1][2], 1, 1) for stage in _STAGES])
        self.register_buffer("shift", torch.tensor(_SHIFT).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE).reshape(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """One distance an image.

        Args:
            first: [B, 3, H, W] in [-1, 1], sides of at least 16 pixels.
            second: Same shape.

        Returns:
            [B].
        """
        total = first.new_zeros(len(first))
        pairs = zip(self._stages(first), self._stages(second), self.linear, strict=True)
        for first_features, second_features, weight in pairs:
            difference = (_unit(first_features) - _unit(second_features)).square()
            total = total + (difference * weight).sum(dim=1).mean(dim=(1, 2))
        return total

    def _stages(self, image: Tensor) -> list[Tensor]:
        hidden = (image - self.shift) / self.scale
        outputs = []
        for number, stage in enumerate(_STAGES):
            if number:
                hidden = F.max_pool2d(hidden, 2)
            for index, _, _ in stage:
                hidden = F.relu(self.features[str(index)](hidden))
            outputs.append(hidden)
        return outputs


def _unit(features: Tensor) -> Tensor:
    # Half precision (autocast) would lose differences of under half a percent.
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    # The epsilon stands outside the root, as in the published metric, which leaves the gradient at a zero vector
    # undefined. The root is therefore bounded from below, far under the epsilon.
    norm = features.square().sum(dim=1, keepdim=True).clamp_min(1e-30).sqrt()
    return features / (norm + _EPS)

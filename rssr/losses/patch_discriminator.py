"""LDCSR's and LCMSR's adversarial loss in stage 1: a patch discriminator, balanced by gradient norms.

The discriminator is Isola et al.'s (CVPR 2017, arXiv:1611.07004, section 6.1.2); the balance is Esser et al.'s (CVPR
2021, arXiv:2012.09841, Eq. 7). Values as in the authors' configuration.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rssr.processes import mean_over_processes

_EPS = 1e-4
_MAX_RATIO = 1e4
_SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """One logit for each patch of an image: 4x4 convolutions of 64, 128, 256 and 512 channels, strides 2, 2, 2 and 1.

    BatchNorm follows the inner three, which therefore have no bias; the last convolution yields one channel. Names of
    tensors are those of the published checkpoints.

    Args:
        in_channels: Bands of the images.
        channels: Width of the first convolution.
        num_layers: Convolutions of stride 2.
    """

    def __init__(self, in_channels: int = 3, channels: int = 64, num_layers: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        width = channels
        for number in range(1, num_layers + 1):
            before, width = width, channels * min(2**number, 8)
            stride = 2 if number < num_layers else 1
            layers += [
                nn.Conv2d(before, width, 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(_SLOPE),
            ]
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, stride=1, padding=1))
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B, 1, h, w] of images [B, C, H, W] in [-1, 1] with sides of 24 or more; larger is more like HR."""
        logits: Tensor = self.main(image)
        return logits


def adversarial_loss(discriminator: PatchDiscriminator, sr: Tensor) -> Tensor:
    """Minus the mean logit of SR images [B, C, H, W]; gradients reach the images, not the discriminator's weights."""
    frozen = {name: p.detach() for name, p in discriminator.named_parameters()}
    logits: Tensor = torch.func.functional_call(discriminator, frozen, (sr,))
    return -logits.mean()


def hinge_loss(discriminator: PatchDiscriminator, hr: Tensor, sr: Tensor) -> Tensor:
    """Half of E[relu(1 - D(hr))] + E[relu(1 + D(sr))], the discriminator's own loss.

    HR and SR images pass through it one after the other, so BatchNorm sees each kind alone.

    Args:
        discriminator: Network to train.
        hr: [B, C, H, W] in [-1, 1].
        sr: Same shape; detached by the caller.
    """
    return 0.5 * (F.relu(1 - discriminator(hr)).mean() + F.relu(1 + discriminator(sr)).mean())


def adaptive_weight(image_loss: Tensor, adversarial: Tensor, weight: Tensor) -> Tensor:
    """How strongly the adversarial loss shall count for both losses to pull one layer alike.

    The ratio of the norms of their gradients, clamped to [0, 1e4]; without gradient itself. Both graphs are kept. Where
    several processes train, the norms are means over them, so that all weigh alike; every process must ask at once.

    Args:
        image_loss: Scalar that depends on `weight`.
        adversarial: Likewise.
        weight: Parameter of the last layer, where the gradients are compared.
    """
    (image_gradient,) = torch.autograd.grad(image_loss, weight, retain_graph=True)
    (adversarial_gradient,) = torch.autograd.grad(adversarial, weight, retain_graph=True)
    norms = mean_over_processes(torch.stack([image_gradient.norm(), adversarial_gradient.norm()]).detach())
    ratio: Tensor = norms[0] / (norms[1] + _EPS)
    return ratio.clamp(0.0, _MAX_RATIO)


def _initialise(module: nn.Module) -> None:
    """Normal weights of deviation 0.02, as Isola et al. start from (section 6.2)."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)

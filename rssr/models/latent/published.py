"""The published test procedure of LDCSR and LCMSR, for comparison with the authors' figures."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from rssr.diffusion.sampling import Draw, Predict
from rssr.models.latent.network import LatentSR


class PublishedImages(NamedTuple):
    """What the published test writes, in [0, 1].

    Attributes:
        sr: The sampled latent, decoded.
        sr_condition: The condition code, decoded.
    """

    sr: Tensor
    sr_condition: Tensor


def published_images(
    lr: Tensor,
    network: LatentSR,
    output_size: tuple[int, int],
    draw: Draw,
    sample: Callable[[Predict, Draw], Tensor],
) -> PublishedImages:
    """Encode, sample and decode without padding.

    Args:
        lr: LR images [B, bands, h, w] in [0, 1].
        network: In eval mode.
        output_size: (H, W).
        draw: Noise of the start (0) and of each step.
        sample: The method's walk.
    """
    centred = 2 * lr - 1
    condition = network.encode_condition(centred, output_size)
    scale = output_size[0] / lr.shape[2]

    def predict(noisy_latent: Tensor, timestep: int) -> Tensor:
        return network.predict(noisy_latent, condition, timestep, scale, output_size[0])

    decoded = (network.decode(latent, centred, output_size) for latent in (sample(predict, draw), condition))
    return PublishedImages(*((image.clamp(-1, 1) + 1) / 2 for image in decoded))

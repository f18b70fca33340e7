"""What LDCSR's and LCMSR's decoders make of other codes than sampled ones."""

from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rssr.inference import super_resolve
from rssr.inference.values import value_scale
from rssr.methods.paths import ImagePath, Pixels
from rssr.models.latent.autoencoder import ResidualAutoencoder
from rssr.models.latent.frame import whole_frame
from rssr.models.latent.network import LatentSR
from rssr.models.latent.resolver import LatentResolver
from rssr.models.loaded import LoadedModel

CONDITION, LATENT = "condition code", "HR latent"


def latent_paths(
    condition: LatentResolver, autoencoder: ResidualAutoencoder | None, suffix: str = ""
) -> list[ImagePath]:
    """Condition code and, with an autoencoder, HR latent through the decoder of a network.

    Args:
        condition: Runs the network along the condition path.
        autoencoder: The first stage; None where it is not there.
        suffix: What to add to the paths' names.
    """
    network = condition.network
    model = LoadedModel(f"{CONDITION}{suffix}", condition, network, network.architecture, None)
    meaning = "the condition code, which is computed from LR alone and without noise, through the decoder"
    paths = [ImagePath(model.name, f"{meaning}{suffix}", partial(_super_resolve, model))]
    if autoencoder is not None:
        meaning = "the latent of the HR image itself through the decoder, which is no super-resolution but what "
        meaning += f"the code could give at most{suffix}"
        paths.append(ImagePath(f"{LATENT}{suffix}", meaning, partial(_reconstruct, network, autoencoder)))
    return paths


@torch.no_grad()
def decode_hr_latent(network: LatentSR, autoencoder: ResidualAutoencoder, lr: Tensor, hr: Tensor) -> Tensor:
    """The mean of the HR images' latents, decoded.

    As at inference the latent covers the image padded to multiples of its stride; here with the image's edge.

    Args:
        network: Its decoder is used.
        autoencoder: Its encoder is used.
        lr: LR images [B, C, h, w] in [-1, 1].
        hr: HR images [B, C, H, W] in [-1, 1].

    Returns:
        [B, C, H, W], about [-1, 1], not clamped.
    """
    (height, width), stride = (hr.shape[2], hr.shape[3]), network.values.latent_stride
    frame = whole_frame((lr.shape[2], lr.shape[3]), (height, width))
    padded = F.pad(hr, (0, -width % stride, 0, -height % stride), mode="replicate")
    latent, _ = autoencoder.encode(lr, padded, frame)
    return network.decode(latent * network.latent_scaling, lr, (height, width), frame)


def _super_resolve(model: LoadedModel, lr: Pixels, hr: Pixels, scale: float) -> Pixels:
    return _to_pixels(super_resolve(np.moveaxis(lr, -1, 0), model, scale))


def _reconstruct(network: LatentSR, autoencoder: ResidualAutoencoder, lr: Pixels, hr: Pixels, scale: float) -> Pixels:
    values = value_scale(None, lr.dtype)
    pair = [torch.from_numpy(values.to_network(np.moveaxis(image, -1, 0)))[None] for image in (lr, hr)]
    sr = decode_hr_latent(network, autoencoder, *pair)[0].float().numpy()
    return _to_pixels(values.from_network(sr))


def _to_pixels(bands: Pixels) -> Pixels:
    return np.ascontiguousarray(np.moveaxis(bands, 0, -1))

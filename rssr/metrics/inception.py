"""Features of Inception, whose distributions FID and KID compare."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from rssr.errors import ImageError
from rssr.metrics.perceptual.loading import load_network
from rssr.metrics.perceptual.measuring import reproducible

NUM_FEATURES = 2048
_SIDE = 299  # pixels, of what Inception sees


class InceptionFeatures:
    """Features of one picture at a time, without gradients, and the same every time."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network = network.to(device)
        self._device = device

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features of a picture of any size: the mean over places of the last convolution's output.

        Args:
            pixels: uint8 [H, W, 3].

        Returns:
            float32 [2048].

        Raises:
            ImageError: It is no such picture.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ImageError(f"The picture is {pixels.dtype} {pixels.shape}, not uint8 [H, W, 3].")
        planes = np.stack([_resized(pixels[..., band]) for band in range(3)])
        # From -1 to 1 as TensorFlow's Inception of 2015 has it, where 128 is the middle.
        image = (torch.from_numpy(planes)[None].to(self._device) - 128) / 128
        with torch.inference_mode(), reproducible():
            features: NDArray[np.float32] = self._network(image)[0].float().cpu().numpy()
        return features


def load_inception(folder: str | Path | None = None, device: str | torch.device = "cpu") -> InceptionFeatures:
    """Load the Inception of FID from a local file; nothing is ever fetched.

    Args:
        folder: With the weights; None looks where `metric_weights_folder` says.
        device: Where to compute.

    Raises:
        WeightsError: The file or pyiqa is missing, or the file is damaged or another network's; says what to do.
    """
    network = load_network("fid", folder)
    network.fc = nn.Identity()  # features are what its classifier would take
    return InceptionFeatures(network, torch.device(device))


def _resized(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bicubic with antialiasing, without rounding (Parmar et al. 2022, On Aliased Resizing)."""
    image = Image.fromarray(plane.astype(np.float32)).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    return np.asarray(image).clip(0, 255)

"""Running a SlimDiffSR student: at any size, and exactly as the authors' published procedure does.

The authors' procedure pads to multiples of 256 and matches each channel's mean and deviation to the padded,
enlarged LR image. It cannot process enlarged sides of 128 pixels or fewer; here the padding then reflects back and
forth.
"""

import numpy as np
import torch
from torch import Tensor

from rssr.errors import ImageError
from rssr.layers.resampling import pad_to_multiple
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.resampling import upsample_bicubic

_OFFICIAL_MULTIPLE = 256


class SlimDiffSRResolver:
    """A `SuperResolver`: enlarge bicubically, pad by reflection, run the student, crop.

    Args:
        network: The student; runs on the device and in the type of its weights.
    """

    def __init__(self, network: SlimDiffSR) -> None:
        self.network = network

    @torch.no_grad()
    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        """Super-resolve LR images [B, C, h, w] in [-1, 1] to float32 [B, C, H, W], about [-1, 1]."""
        upsampled = upsample_bicubic(lr.float(), output_size)
        return self._run(upsampled, self.network.stride)

    @property
    def gives_deviation(self) -> bool:
        """Whether the student has a deviation head."""
        return self.network.deviation_head is not None

    @torch.no_grad()
    def with_deviation(self, lr: Tensor, output_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """SR images as by a call, and how far they are expected to be off; see `DeviationResolver`.

        Raises:
            ModelError: The student has no deviation head.
        """
        upsampled = upsample_bicubic(lr.float(), output_size)
        dtype = next(self.network.parameters()).dtype
        results = self.network.forward_with_deviation(pad_to_multiple(upsampled, self.network.stride).to(dtype))
        sr, deviation = (result[:, :, : output_size[0], : output_size[1]].float() for result in results)
        return sr, deviation

    @torch.no_grad()
    def run_upsampled(self, upsampled: Tensor, multiple: int) -> Tensor:
        """Run on an image that is already enlarged, padded to `multiple`, which the network's stride divides."""
        return self._run(upsampled, multiple)

    def _run(self, upsampled: Tensor, multiple: int) -> Tensor:
        height, width = upsampled.shape[2], upsampled.shape[3]
        dtype = next(self.network.parameters()).dtype
        sr: Tensor = self.network(pad_to_multiple(upsampled, multiple).to(dtype))
        return sr[:, :, :height, :width].float()


def official_inference(lr_uint8: np.ndarray, network: SlimDiffSR, scale: int) -> np.ndarray:
    """Super-resolve one image as the authors' published script does, for comparison with their figures.

    Args:
        lr_uint8: uint8 [h, w, 3].
        network: The student, in eval mode.
        scale: 4 or 8 as published; any whole number works.

    Returns:
        uint8 [h * scale, w * scale, 3], truncated rather than rounded.

    Raises:
        ImageError: If the image is not uint8 with three dimensions.
    """
    if lr_uint8.dtype != np.uint8 or lr_uint8.ndim != 3:
        raise ImageError(
            f"Expected an 8-bit image of height, width and bands, got {lr_uint8.dtype} {list(lr_uint8.shape)}.",
            "Scale the values to 0 to 255 first.",
        )
    device = next(network.parameters()).device
    lr = torch.from_numpy(np.ascontiguousarray(lr_uint8)).to(device).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    upsampled = upsample_bicubic(lr, (lr.shape[2] * scale, lr.shape[3] * scale))
    sr = SlimDiffSRResolver(network).run_upsampled(upsampled, _OFFICIAL_MULTIPLE)
    matched = match_statistics(sr, pad_to_multiple(upsampled, _OFFICIAL_MULTIPLE))
    levels = (matched / 2 + 0.5).clamp(0, 1) * 255
    result: np.ndarray = levels.to(torch.uint8)[0].permute(1, 2, 0).cpu().numpy()
    return result


def match_statistics(sr: Tensor, reference: Tensor) -> Tensor:
    """Give each image and channel of `sr` the mean and deviation of `reference`, as the authors do.

    Args:
        sr: [B, C, H, W].
        reference: [B, C, H', W']; the authors take the padded enlarged LR image.
    """
    deviation, mean = torch.std_mean(sr, dim=(2, 3), keepdim=True)
    wanted_deviation, wanted_mean = torch.std_mean(reference, dim=(2, 3), keepdim=True)
    return (sr - mean) / deviation * wanted_deviation + wanted_mean

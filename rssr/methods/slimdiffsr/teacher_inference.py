"""Running the teacher as a super-resolver, from LR images alone."""

import torch
from torch import Tensor

from rssr.layers.resampling import pad_to_multiple
from rssr.methods.slimdiffsr.teacher import Teacher, TeacherOutput
from rssr.resampling import upsample_bicubic

_LATENT_STRIDE = 8


class TeacherResolver:
    """A `SuperResolver`: enlarge bicubically, pad by reflection, one denoising step, crop.

    The estimator's mean stands in for the HR latent, which sets the noise level in training.

    Args:
        teacher: Runs on the device and in the type of its weights.
    """

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    @torch.no_grad()
    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        """Super-resolve LR images [B, 3, h, w] in [-1, 1] to float32 [B, 3, H, W], about [-1, 1]."""
        upsampled = upsample_bicubic(lr.float(), output_size)
        output: TeacherOutput = self.teacher(pad_to_multiple(upsampled, _LATENT_STRIDE))
        return output.sr[:, :, : output_size[0], : output_size[1]].float()

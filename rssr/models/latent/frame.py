"""Where the pixels of an output lie among the LR pixels that it is computed from."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from rssr.resampling import resample

_ROUNDING_SLACK = 1e-9


@dataclass(frozen=True)
class Frame:
    """The map from output pixels to LR pixels, rows then columns.

    Output pixel j has its centre at `offset + (j + 1/2) * step`, measured in LR pixels from the edge of the first.

    Attributes:
        step: LR pixels that one output pixel measures: the inverse scale.
        offset: Where the output begins.
    """

    step: tuple[float, float]
    offset: tuple[float, float] = (0.0, 0.0)

    @property
    def scale(self) -> float:
        """Output rows in one LR row; the networks know heights only."""
        return 1 / self.step[0]

    def enlarge(self, image: Tensor, output_size: tuple[int, int], mode: str, finer: int = 1) -> Tensor:
        """Sample an image at the centres of output pixels; beyond its edges the edge goes on.

        Args:
            image: [B, C, h * finer, w * finer].
            output_size: (H, W).
            mode: `bicubic` or `bilinear`.
            finer: Pixels of the image along one LR pixel.
        """
        step = self.step[0] * finer, self.step[1] * finer
        return resample(image, output_size, mode, step, (self.offset[0] * finer, self.offset[1] * finer))

    def latent_at_lr(self, embedding: Tensor, lr_size: tuple[int, int], stride: int) -> Tensor:
        """For each LR pixel, the latent position in which its upper left corner lies.

        Args:
            embedding: [B, C, h', w'], of which each position covers `stride` output pixels.
            lr_size: (h, w).
            stride: Output pixels along one latent position.
        """
        for axis in (0, 1):
            # Float64: the places of edges that fall on positions must not depend on where the output begins.
            edges = torch.arange(lr_size[axis], dtype=torch.float64, device=embedding.device) - self.offset[axis]
            positions = torch.floor(edges / (self.step[axis] * stride) + _ROUNDING_SLACK).long()
            embedding = embedding.index_select(2 + axis, positions.clamp(0, embedding.shape[2 + axis] - 1))
        return embedding


def whole_frame(lr_size: tuple[int, int], output_size: tuple[int, int]) -> Frame:
    """The output covers exactly the LR image."""
    return Frame((lr_size[0] / output_size[0], lr_size[1] / output_size[1]))


def enlarge(image: Tensor, output_size: tuple[int, int], mode: str, frame: Frame | None, finer: int = 1) -> Tensor:
    """As `Frame.enlarge`; without a frame the output covers exactly the image, as the published code has it."""
    if frame is None:
        return F.interpolate(image, size=output_size, mode=mode, align_corners=False, antialias=False)
    return frame.enlarge(image, output_size, mode, finer)

"""What every super-resolver offers, whatever its method: an LR image in, an image of the asked size out."""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from rssr.resampling import upsample_bicubic


@runtime_checkable
class SuperResolver(Protocol):
    """A function from LR images and an output size to SR images; any sizes of at least 1×1 work."""

    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        """Super-resolve.

        Args:
            lr: LR images, float [B, C, h, w] in [-1, 1].
            output_size: (H, W) in pixels.

        Returns:
            SR images, float32 [B, C, H, W], about [-1, 1], not clamped.
        """
        ...


class BicubicResolver(nn.Module):
    """The baseline of every table: bicubic interpolation, no weights, any number of bands."""

    def forward(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        """See `SuperResolver`."""
        return upsample_bicubic(lr, output_size)

"""What every super-resolver offers, whatever its method: an LR image in, an image of the asked size out."""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from rssr.resampling import upsample_bicubic

HOW_TO_GET_A_DEVIATION = (
    "A SlimDiffSR student has one after the job's phase `deviation`: python jobs/slimdiffsr.py PRESET "
    "phases=[deviation], with the keys that trained the student and a section 'deviation', as the quickstart has."
)


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


@runtime_checkable
class DeviationResolver(SuperResolver, Protocol):
    """A super-resolver whose network may also say how far its images are off."""

    @property
    def gives_deviation(self) -> bool:
        """Whether this network can: some were never taught."""
        ...

    def with_deviation(self, lr: Tensor, output_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Super-resolve, with an error bar for every pixel and band.

        Args:
            lr: LR images, float [B, C, h, w] in [-1, 1].
            output_size: (H, W) in pixels.

        Returns:
            The SR images, and the root of their expected squared errors, at least 0; both float32 [B, C, H, W] in
            network units, where the range of values measures 2.
        """
        ...


class BicubicResolver(nn.Module):
    """The baseline of every table: bicubic interpolation, no weights, any number of bands."""

    def forward(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        """See `SuperResolver`."""
        return upsample_bicubic(lr, output_size)

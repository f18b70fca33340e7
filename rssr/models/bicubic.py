"""The baseline of every table as a super-resolver: bicubic interpolation, no weights, any number of bands."""

from typing import TYPE_CHECKING

from rssr.interpolation import FloatArray, enlarge_bicubic

if TYPE_CHECKING:
    from torch import Tensor


class BicubicResolver:
    """An `ArrayResolver`: arrays are enlarged without PyTorch, which takes longer to load than a scene to enlarge."""

    def __call__(self, lr: "Tensor", output_size: tuple[int, int]) -> "Tensor":
        """See `SuperResolver`."""
        from rssr.resampling import interpolate_bicubic

        return interpolate_bicubic(lr, output_size)

    def of_arrays(self, lr: FloatArray, output_size: tuple[int, int]) -> FloatArray:
        """See `ArrayResolver`."""
        return enlarge_bicubic(lr, output_size)

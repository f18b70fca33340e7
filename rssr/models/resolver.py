"""What every super-resolver offers, whatever its method: an LR image in, an image of the asked size out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = NDArray[np.float32]

HOW_TO_GET_A_DEVIATION = (
    "Models of all methods have one after the job's phase `deviation`: python jobs/METHOD.py PRESET "
    "phases=[deviation], with the keys that trained the model and a section 'deviation', as the quickstarts have; "
    "LDCSR and LCMSR tell it from several samples."
)


@runtime_checkable
class SuperResolver(Protocol):
    """A function from LR images and an output size to SR images; any sizes of at least 1×1 work."""

    def __call__(self, lr: "Tensor", output_size: tuple[int, int]) -> "Tensor":
        """Super-resolve.

        Args:
            lr: LR images, float [B, C, h, w] in [-1, 1].
            output_size: (H, W) in pixels.

        Returns:
            SR images, float32 [B, C, H, W], about [-1, 1], not clamped.
        """
        ...


@runtime_checkable
class ArrayResolver(SuperResolver, Protocol):
    """A super-resolver that takes arrays as well, on the CPU and without PyTorch."""

    def of_arrays(self, lr: FloatArray, output_size: tuple[int, int]) -> FloatArray:
        """Super-resolve.

        Args:
            lr: LR images, float32 [B, C, h, w] in [-1, 1].
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

    def with_deviation(self, lr: "Tensor", output_size: tuple[int, int]) -> tuple["Tensor", "Tensor"]:
        """Super-resolve, with an error bar for every pixel and band.

        Args:
            lr: LR images, float [B, C, h, w] in [-1, 1].
            output_size: (H, W) in pixels.

        Returns:
            The SR images, and the half-widths that hold 68 % of their errors, at least 0; both float32
            [B, C, H, W] in network units, where the range of values measures 2.
        """
        ...


@dataclass(frozen=True)
class TilePlace:
    """Where a tile lies in its scene; sizes and origins are rows, then columns.

    Attributes:
        lr_origin: Scene's LR pixel at which the tile begins.
        sr_origin: Scene's SR pixel at which its result begins.
        lr_size: Of the scene.
        sr_size: Of the scene.
        usual_rows: SR rows of a tile that the scene's edge does not cut; 0: of this one.
    """

    lr_origin: tuple[int, int]
    sr_origin: tuple[int, int]
    lr_size: tuple[int, int]
    sr_size: tuple[int, int]
    usual_rows: int = 0


@dataclass(frozen=True)
class Draws:
    """What random numbers a result is made from.

    Attributes:
        seed: Same seed, same noise at the same place of the scene.
        num_samples: Results that are averaged.
    """

    seed: int = 0
    num_samples: int = 1


@runtime_checkable
class SamplingResolver(SuperResolver, Protocol):
    """A super-resolver that draws noise, and so must know where in its scene a tile lies."""

    @property
    def sr_grid(self) -> int:
        """SR rows and columns at which tiles begin must be multiples of this."""
        ...

    def placed(self, places: Sequence[TilePlace] | None, draws: Draws) -> DeviationResolver:
        """The same resolver for certain tiles.

        Args:
            places: Of each image of the batch; None where each is a whole scene.
            draws: Seed and number of samples.
        """
        ...

"""Further ways from an LR image to an SR image that a method offers, for comparison with its trained model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from rssr.methods.phase import PhaseInputs

Pixels = NDArray[Any]  # uint8, or network values in float32


@dataclass(frozen=True)
class ImagePath:
    """One way to an image.

    Attributes:
        name: Under which its results are known; letters, digits and spaces.
        meaning: What it is, as a sentence.
        run: LR image [h, w, C], HR image [H, W, C] and scale to an SR image of the HR image's size. Most paths take
            from HR its size alone; the meaning of others says so.
    """

    name: str
    meaning: str
    run: Callable[[Pixels, Pixels, float], Pixels]


@runtime_checkable
class OffersPaths(Protocol):
    """A method that offers such ways."""

    def image_paths(self, inputs: PhaseInputs, product: str) -> Sequence[ImagePath]:
        """What the finished phases allow.

        Args:
            inputs: Outputs of finished phases, which need not be all.
            product: The phase whose model is the trained one.
        """

"""Which pixels are known: values that are not numbers and masked ground, and how far they reach when resized."""

import numpy as np
from numpy.typing import NDArray

from rssr.errors import ImageError

Image = NDArray[np.uint8] | NDArray[np.float32]
"""[H, W, C]: grey levels, or physical values of any number of bands."""
Mask = NDArray[np.bool_]  # [H, W], true where data is real

_BICUBIC_REACH = 2  # pixels of the coarser of both grids, to either side


def known_pixels(image: Image, name: str, valid_mask: Mask | None = None) -> Mask:
    """Where all bands are numbers.

    Args:
        image: uint8 or float32 [H, W, C].
        name: Of the image in errors, e.g. `LR`.
        valid_mask: [H, W], true where data is real; None takes all as real.

    Raises:
        ImageError: Another type or shape.
    """
    if image.dtype not in (np.uint8, np.float32) or image.ndim != 3 or 0 in image.shape:
        raise ImageError(
            f"The {name} image is {image.dtype} {image.shape}, not uint8 or float32 [H, W, C].",
            "Convert it, e.g. uint16 reflectance to float32.",
        )
    known: Mask = np.asarray(np.isfinite(image).all(axis=2))
    if valid_mask is None:
        return known
    if valid_mask.shape != known.shape:
        raise ImageError(f"The mask is {valid_mask.shape} pixels, its {name} image {known.shape}.", "Crop them alike.")
    return known & valid_mask


def require_alike(image: Image, other: Image, names: str) -> None:
    """Check that two images have the same type and number of bands.

    Raises:
        ImageError: They differ.
    """
    if image.dtype != other.dtype or image.shape[2] != other.shape[2]:
        kinds = " and ".join(f"{part.dtype} with {part.shape[2]} bands" for part in (image, other))
        raise ImageError(f"The {names} images differ: {kinds}.", "Bring them to the same bands and the same unit.")


def filled(image: Image, known: Mask) -> Image:
    """The image with 0 where it is unknown: what is not a number would spread to all that it is added to."""
    return image if known.all() else np.where(known[..., None], image, image.dtype.type(0))


def reached_by_unknown(known: Mask, size: tuple[int, int]) -> Mask:
    """Pixels that bicubic resizing makes from unknown ones, be their weight however small.

    Args:
        known: [H, W].
        size: (h, w) that is resized to; coarser (antialiased) or finer.

    Returns:
        [h, w].
    """
    sums = np.zeros((known.shape[0] + 1, known.shape[1] + 1), np.int64)
    sums[1:, 1:] = (~known).cumsum(axis=0).cumsum(axis=1)
    (top, bottom), (left, right) = (kernel_bounds(*lengths) for lengths in zip(known.shape, size, strict=True))
    inside = sums[np.ix_(bottom, right)] - sums[np.ix_(top, right)] - sums[np.ix_(bottom, left)]
    reached: Mask = inside + sums[np.ix_(top, left)] > 0
    return reached


def kernel_bounds(num_inputs: int, num_outputs: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First input pixel of each output pixel's kernel, and the one after its last."""
    ratio = num_inputs / num_outputs
    centres = (np.arange(num_outputs) + 0.5) * ratio - 0.5
    reach = _BICUBIC_REACH * max(1.0, ratio)
    first, stop = np.floor(centres - reach) + 1, np.ceil(centres + reach)
    return first.clip(0).astype(np.int64), stop.clip(max=num_inputs).astype(np.int64)

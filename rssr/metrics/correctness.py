"""Is what SR adds to LR true? Improvement, omission and hallucination against the HR image, pixel by pixel.

Per pixel, with LR enlarged bicubically and |.| the mean over the bands of the absolute difference,

    d = |HR - LR|,  x = |SR - HR| / d,  y = |SR - LR| / d,  h = x + y - 1,

where h, never below 0, is how far SR leaves the straight way from LR to HR. From these the protocol of OpenSR-test
(Aybar et al. 2024, IEEE GRSL, doi:10.1109/LGRS.2024.3401394, and its documentation) has a distance to each of the three
cases:

    to improvement    x + y (1 - exp(-g h))
    to omission       y + x (1 - exp(-g h))
    to hallucination  exp(-g x y)

Ours are: g = 1; shares, which go as the inverse square of the distances, so that SR = HR is improvement alone, SR = LR
omission alone, and no further constant is needed; d is never taken below a floor, so that texture on ground without any
detail counts as hallucination; pixels in which the three images agree to within the floor tell nothing and are left
out. SR is not first brought into line with HR in brightness or place, as the protocol does: LR is made from HR here,
and what is moved or discoloured is not true. Figures can therefore be compared with one another, not with published
ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rssr.degradation.resize import resize_to
from rssr.errors import ImageError
from rssr.metrics.known import Image, Mask, filled, known_pixels, reached_by_unknown, require_alike

Plane = NDArray[np.float64]  # [H, W]

NAMES = ("improvement", "omission", "hallucination")

_GAMMA = 1.0  # how fast distance turns into hallucination; the protocol leaves it open
_ONE_LEVEL, _ONE_LEVEL_OF_NETWORKS = 1.0, 2 / 255


@dataclass(frozen=True, eq=False)
class Correctness:
    """What became of the detail that HR has beyond LR; the three shares sum to 1.

    Attributes:
        improvement: Share of pixels that came to HR.
        omission: Share that stayed as LR has them.
        hallucination: Share that went where neither is.
        num_pixels: Pixels that tell anything.
        maps: The share of each in each pixel, [H, W] from 0 to 1, by the three names; not a number in pixels that tell
            nothing.
    """

    improvement: float
    omission: float
    hallucination: float
    num_pixels: int
    maps: Mapping[str, NDArray[np.float32]]

    def metrics(self) -> dict[str, float]:
        """The three shares by name."""
        return {name: getattr(self, name) for name in NAMES}


def correctness(
    sr: Image, lr: Image, hr: Image, *, valid_mask: Mask | None = None, floor: float | None = None
) -> Correctness | None:
    """Tell true detail from missing and from invented detail, in the manner of OpenSR-test.

    The module's description has the formulas.

    Args:
        sr: uint8 or float32 [H, W, C].
        lr: [h, w, C] of the same type and unit; covers the same ground.
        hr: [H, W, C] likewise.
        valid_mask: [H, W], true where data is real; None takes all as real. Values that are not numbers are unknown
            as well.
        floor: Smallest difference that counts. None takes one grey level, which of float32 input is that of network
            values, 2 / 255; give it for other units.

    Returns:
        The shares; None where no pixel tells anything.

    Raises:
        ImageError: Types, bands or sizes do not fit.
    """
    known = _known_in_all(sr, lr, hr, valid_mask)
    base = _enlarged(filled(lr, known_pixels(lr, "LR")), known.shape)
    to_hr, to_lr, detail = (_distance(*pair) for pair in ((sr, hr), (sr, base), (hr, base)))
    if floor is None:
        floor = _ONE_LEVEL if sr.dtype == np.uint8 else _ONE_LEVEL_OF_NETWORKS
    tells = known & (np.maximum.reduce([to_hr, to_lr, detail]) >= floor)
    if not tells.any():
        return None
    unit = np.maximum(detail[tells], floor)
    shares = _shares(to_hr[tells] / unit, to_lr[tells] / unit)
    maps = {name: np.full(known.shape, np.nan, np.float32) for name in NAMES}
    for name, share in zip(NAMES, shares, strict=True):
        maps[name][tells] = share
    improvement, omission, hallucination = (float(share.mean()) for share in shares)
    return Correctness(improvement, omission, hallucination, int(tells.sum()), maps)


def _known_in_all(sr: Image, lr: Image, hr: Image, valid_mask: Mask | None) -> Mask:
    known = known_pixels(hr, "HR", valid_mask)
    known_sr, known_lr = known_pixels(sr, "SR"), known_pixels(lr, "LR")
    require_alike(sr, hr, "SR and HR")
    require_alike(lr, hr, "LR and HR")
    if known_sr.shape != known.shape:
        raise ImageError(f"The SR image is {known_sr.shape}, the HR image {known.shape} pixels.", "Crop them alike.")
    if lr.shape[0] > hr.shape[0] or lr.shape[1] > hr.shape[1]:
        raise ImageError(f"The LR image, {known_lr.shape}, is larger than the HR image, {known.shape} pixels.")
    return known & known_sr & ~reached_by_unknown(known_lr, known.shape)


def _enlarged(lr: Image, size: tuple[int, int]) -> NDArray[np.float64]:
    """LR on the HR grid as the `bicubic` model gives it, [H, W, C]."""
    enlarged = resize_to(np.ascontiguousarray(lr, np.float32), size, "bicubic").reshape(*size, lr.shape[2])
    levels = enlarged.astype(np.float64)
    return np.rint(levels).clip(0, 255) if lr.dtype == np.uint8 else levels


def _distance(image: Image | NDArray[np.float64], other: Image | NDArray[np.float64]) -> Plane:
    with np.errstate(invalid="ignore"):  # infinite values are unknown, and left out later
        distance: Plane = np.abs(image.astype(np.float64) - other).mean(axis=2)
    return distance


def _shares(x: Plane, y: Plane) -> tuple[Plane, Plane, Plane]:
    """Shares of improvement, omission and hallucination at distances to HR and LR, in units of that between both."""
    astray = 1 - np.exp(-_GAMMA * np.maximum(x + y - 1, 0))
    improvement, omission, hallucination = x + y * astray, y + x * astray, np.exp(-_GAMMA * x * y)
    # The inverse squares, each times all three squares: no distance of 0 divides.
    products = omission * hallucination, improvement * hallucination, improvement * omission
    squares = [np.square(product) for product in products]
    total = sum(squares)
    one, two, three = (square / total for square in squares)
    return one, two, three

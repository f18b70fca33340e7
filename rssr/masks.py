"""Which pixels are real: LR masks at SR size, and holes filled before a network sees them."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rssr.tiling import nearest_lr

Mask = NDArray[np.bool_]
NumberT = TypeVar("NumberT", bound=np.number)


def enlarge_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """The LR mask at SR size: each SR pixel takes the LR pixel that its centre lies in."""
    rows, columns = (nearest_lr(lr, sr) for lr, sr in zip(mask.shape, size, strict=True))
    enlarged: Mask = mask[rows[:, None], columns]
    return enlarged


def filled(values: NDArray[NumberT], mask: Mask) -> NDArray[NumberT]:
    """Holes take the value of the nearest valid pixel, so that the model sees no cliffs.

    Args:
        values: [C, h, w].
        mask: Bool [h, w] with at least one valid pixel.
    """
    if mask.all():
        return values
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~mask, return_distances=False, return_indices=True)
    whole: NDArray[NumberT] = values[:, nearest[0], nearest[1]]
    return whole

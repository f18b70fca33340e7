"""Bicubic enlargement of arrays, without PyTorch."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def enlarge_bicubic(images: FloatArray, output_size: tuple[int, int]) -> FloatArray:
    """`rssr.resampling.upsample_bicubic` by OpenCV, ten times as fast on a CPU; the last bit may differ.

    Args:
        images: float32 [..., h, w].
        output_size: (H, W) in pixels.
    """
    import cv2  # networks do without it

    height, width = output_size
    enlarged = np.empty((*images.shape[:-2], height, width), np.float32)
    for plane in np.ndindex(images.shape[:-2]):
        cv2.resize(images[plane], (width, height), dst=enlarged[plane], interpolation=cv2.INTER_CUBIC)
    return enlarged

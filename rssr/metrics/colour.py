"""Luma as super-resolution papers measure it."""

import numpy as np
from numpy.typing import NDArray

# BT.601 in studio range, as MATLAB's rgb2ycbcr: 16 to 235 for inputs of 0 to 255. Not rounded.
_RGB_TO_Y = np.array((65.481, 128.553, 24.966)) / 255.0
_Y_OFFSET = 16.0


def luma(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Y of YCbCr (BT.601).

    Args:
        pixels: uint8 [H, W, 3], RGB.

    Returns:
        float64 [H, W], 16 to 235.
    """
    y: NDArray[np.float64] = pixels.astype(np.float64) @ _RGB_TO_Y + _Y_OFFSET
    return y

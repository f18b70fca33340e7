"""Values as colours: one colour scale for the whole page, even to the eye and fit for the colour-blind (viridis)."""

import functools

import numpy as np
from numpy.typing import NDArray

from pipelines.report.images import Pixels
from rssr.value_map import ValueMap

_NUM_COLOURS = 256
_NUM_STOPS = 9  # of the gradient beside a picture
_NO_VALUE = 128  # grey


def paint(shown: ValueMap) -> Pixels:
    """A map as uint8 [H, W, 3], dark for low values; grey where there is no value.

    Values beyond the ends of the scale take the colour of the end; where both ends are equal, that of the middle.
    """
    low, high = shown.scale_ends
    known = np.isfinite(shown.values)
    values = np.where(known, shown.values, low).astype(np.float64)
    share = (values - low) / (high - low) if high > low else np.full(values.shape, 0.5)
    colours = _colours()[np.clip(share * _NUM_COLOURS, 0, _NUM_COLOURS - 1).astype(np.intp)]
    return np.where(known[..., None], colours, np.uint8(_NO_VALUE))


def gradient() -> str:
    """The colour scale from left to right, as CSS."""
    chosen = _colours()[np.linspace(0, _NUM_COLOURS - 1, _NUM_STOPS).round().astype(int)]
    stops = ", ".join(f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in chosen)
    return f"linear-gradient(to right, {stops})"


@functools.cache
def _colours() -> NDArray[np.uint8]:
    """uint8 [256, 3] from low to high."""
    from matplotlib import colormaps

    colours: NDArray[np.uint8] = (colormaps["viridis"](np.arange(_NUM_COLOURS))[:, :3] * 255).round().astype(np.uint8)
    return colours

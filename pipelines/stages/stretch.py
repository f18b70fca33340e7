"""From reflectance to what networks see, and to pictures for people."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.stages import StageResources
from rssr.sentinel2 import Stretch

Pixels = npt.NDArray[Any]  # uint8 [H, W, 3], or float32 network values [H, W, C]

RESOURCES = StageResources(num_cpus=1, memory_bytes=100 * 2**20)

_SHOWN = (("B04", "B03", "B02"), ("red", "green", "blue"))


class ToNetworkValues:
    """Stretch the images of a batch. Stateless; safe to run again.

    Args:
        stretch: A band at a time.
    """

    def __init__(self, stretch: Stretch) -> None:
        self._stretch = stretch

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Reflectance `hr` and `lr`, float32 [B, H, W, C], as network values; about [-1, 1], not clipped."""
        return {**batch, **{name: stretched(batch[name], self._stretch) for name in ("hr", "lr")}}


def stretched(reflectance: Pixels, stretch: Stretch) -> Pixels:
    """Reflectance [..., C] as network values of the same shape."""
    bands_first = stretch.to_network(np.moveaxis(reflectance, -1, 0))
    return np.ascontiguousarray(np.moveaxis(bands_first, 0, -1))


def display_order(bands: Sequence[str]) -> tuple[int, int, int]:
    """Which bands are shown as red, green and blue: those of these colours, else the first three."""
    for colours in _SHOWN:
        if set(colours) <= set(bands):
            red, green, blue = (list(bands).index(colour) for colour in colours)
            return red, green, blue
    return (0, 1, 2) if len(bands) >= 3 else (0, 0, 0)


def as_picture(pixels: Pixels, bands: Sequence[str]) -> npt.NDArray[np.uint8]:
    """What a person is shown: uint8 [H, W, 3] as it is, network values as grey levels, cut off at black and white."""
    if pixels.dtype == np.uint8:
        return pixels
    levels = (pixels[..., list(display_order(bands))] + 1) * 127.5
    return np.ascontiguousarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))

"""Light and sensor: cast shadows, point spread, haze and a little noise."""

import cv2
import numpy as np
from numpy.typing import NDArray

from rssr.scenes.canvas import Canvas, FloatArray
from rssr.scenes.texture import spectral_field

_SHADE = np.array([0.40, 0.44, 0.52], np.float32)  # what the sky alone lights, bluish
_HAZE = np.array((196, 204, 214), np.float32)
_LUMA = np.array((0.299, 0.587, 0.114), np.float32)
_MID_GRAY = np.float32(110)


def cast_shadows(canvas: Canvas) -> None:
    """Darken what lies behind something higher, seen from the sun."""
    heights = canvas.height_m
    tallest = float(heights.max())
    if tallest <= 0:
        return
    skyline = np.zeros_like(heights)
    num_steps = int(np.ceil(tallest / canvas.sun_slope / canvas.gsd_m))
    step = np.array(canvas.sun)
    for index in range(1, num_steps + 1):
        shift = np.array([[1, 0, -step[0] * index], [0, 1, -step[1] * index]])
        moved = cv2.warpAffine(heights, shift, heights.shape[::-1], flags=cv2.INTER_LINEAR)
        np.maximum(skyline, moved - np.float32(index * canvas.sun_slope * canvas.gsd_m), out=skyline)
    softness = max(1.2, canvas.gsd_m)
    shadow = np.clip((skyline - heights) / np.float32(softness), 0, 1)[..., None]
    canvas.colour *= 1 - shadow * (1 - _SHADE)


def expose(canvas: Canvas) -> NDArray[np.uint8]:
    """The picture the sensor delivers: uint8 [H, W, 3]."""
    rng = canvas.rng
    gain = rng.normal(1.0, 0.04) * (1 + rng.normal(0, 0.015, 3))
    light = canvas.colour * gain.astype(np.float32)
    gray = light @ _LUMA
    light += (gray[..., None] - light) * np.float32(rng.uniform(0.2, 0.5))
    light += (light - _MID_GRAY) * np.float32(rng.uniform(0.05, 0.3))
    light += (_HAZE - light) * np.float32(rng.uniform(0.02, 0.1))
    light += spectral_field(rng, canvas.shape, exponent=1.0)[..., None] * np.float32(1.5)
    blurred: FloatArray = cv2.GaussianBlur(light, (0, 0), float(rng.uniform(0.45, 0.6)))
    noise = rng.standard_normal(canvas.shape, dtype=np.float32) * np.float32(1.3)
    chroma = rng.standard_normal((*canvas.shape, 3), dtype=np.float32) * np.float32(0.7)
    picture = blurred + noise[..., None] + chroma
    delivered: NDArray[np.uint8] = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return delivered

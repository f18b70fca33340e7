"""Natural texture: fields whose amplitude falls with frequency, as in pictures of real ground."""

import cv2
import numpy as np
from scipy import fft

from rssr.scenes.canvas import FloatArray


def spectral_field(rng: np.random.Generator, shape: tuple[int, int], *, exponent: float = 1.0) -> FloatArray:
    """Random field with an amplitude spectrum of 1/f**exponent.

    Args:
        rng: Source of the phases.
        shape: Height and width.
        exponent: 1 is natural ground; 2 is smooth relief.

    Returns:
        float32 [H, W], zero mean, unit deviation (zeros for a single pixel).
    """
    spectrum = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    vertical = fft.fftfreq(shape[0])[:, None] * shape[0]
    horizontal = fft.rfftfreq(shape[1])[None, :] * shape[1]
    frequency = np.hypot(vertical / shape[0], horizontal / shape[1]).astype(np.float32)
    frequency[0, 0] = 1.0
    spectrum *= frequency ** np.float32(-exponent)
    spectrum[0, 0] = 0
    texture: FloatArray = fft.irfft2(spectrum, s=shape).astype(np.float32)
    deviation = float(texture.std())
    if deviation > 0:
        texture /= np.float32(deviation)
    return texture


def patches(rng: np.random.Generator, shape: tuple[int, int], size_px: float) -> FloatArray:
    """Smooth random field with features of about `size_px`, float32 [H, W], about [-1, 1]."""
    grid = (max(2, round(shape[0] / size_px) + 2), max(2, round(shape[1] / size_px) + 2))
    coarse = rng.uniform(-1, 1, grid).astype(np.float32)
    field: FloatArray = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return field


def smoothstep(values: FloatArray, low: float, high: float) -> FloatArray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    smooth: FloatArray = (t * t * (3 - 2 * t)).astype(np.float32)
    return smooth


def slopes(field: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Downward and rightward differences per pixel, for any size down to one pixel."""
    padded = np.pad(field, 1, mode="edge") * np.float32(0.5)
    down: FloatArray = padded[2:, 1:-1] - padded[:-2, 1:-1]
    right: FloatArray = padded[1:-1, 2:] - padded[1:-1, :-2]
    return down, right

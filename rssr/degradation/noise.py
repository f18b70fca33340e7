"""Fast sensor noise: Gaussian and Poisson, drawn by table lookup from 16 random bits a sample.

Normal draws take 65,536 equally likely values, Poisson draws 2,048 for every rate; mean and variance agree with
the exact distributions to a fraction of a percent (tested), which 8-bit images cannot resolve. Draws are pure
functions of seed and shape, Poisson draws also of the image's grey levels.
"""

import functools

import cv2
import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, ndtri

from rssr.degradation.draws import NoiseDraw
from rssr.seeds import numpy_generator

FloatImage = npt.NDArray[np.float32]
Levels = npt.NDArray[np.uint8]

_LUMA = np.array([[0.2989, 0.587, 0.114]], dtype=np.float32)  # red, green, blue, as in the reference
_QUANTILE_BITS = 11
_STEPS_PER_COUNT = 128  # tabulated Poisson noise is an integer number of 128ths of a count
_MAX_COUNTS = 400  # beyond every quantile of the largest rate, 256


def add_noise(image: FloatImage, draw: NoiseDraw) -> FloatImage:
    """Add one draw of noise and clamp.

    Args:
        image: float32 [H, W, 3] in grey levels, about 0 to 255.
        draw: Kind, strength, grey or colour, seed.

    Returns:
        float32 [H, W, 3] within 0 to 255.
    """
    noisy: FloatImage = cv2.addWeighted(image, 1.0, *_weighted_field(image, draw), 0.0, dtype=cv2.CV_32F)
    return np.clip(noisy, 0, 255, out=noisy)


def add_noise_and_quantize(image: FloatImage, draw: NoiseDraw) -> Levels:
    """`add_noise`, rounded to uint8 in the same pass."""
    levels: Levels = cv2.addWeighted(image, 1.0, *_weighted_field(image, draw), 0.0, dtype=cv2.CV_8U)
    return levels


def quantize(image: FloatImage) -> Levels:
    """Round grey levels to uint8, clamped; half-way cases go to the even level."""
    levels: Levels = cv2.add(image, (0.0, 0.0, 0.0, 0.0), dtype=cv2.CV_8U)
    return levels


def gray_levels(image: FloatImage) -> Levels:
    """Luma rounded to uint8 [H, W]."""
    luma: FloatImage = cv2.transform(image, _LUMA)
    return quantize(luma)


def count_base(levels: Levels) -> int:
    """Photons that a white pixel counts: the number of distinct levels, rounded up to a power of two."""
    histogram = cv2.calcHist([levels.reshape(len(levels), -1)], [0], None, [256], [0, 256])
    return int(2 ** int(np.count_nonzero(histogram) - 1).bit_length())


def standard_normal(seed: int, shape: tuple[int, ...]) -> FloatImage:
    """Standard normal float32 draws of any shape."""
    return _normal_table().take(_uniform_bits(seed, shape))


def poisson_counts(levels: Levels, base: int, seed: int) -> FloatImage:
    """Poisson counts whose rate is level / 255 * base, float32 in the shape of the levels."""
    rates = levels.astype(np.float32) * np.float32(base / 255)
    counts: FloatImage = np.rint(rates + _poisson_deviations(levels, base, seed) / np.float32(_STEPS_PER_COUNT))
    return counts


def _weighted_field(image: FloatImage, draw: NoiseDraw) -> tuple[npt.NDArray[np.generic], float]:
    """A noise field [H, W, 3] and the factor that brings it to grey levels."""
    field: npt.NDArray[np.generic]
    if draw.kind == "gaussian":
        field = standard_normal(draw.seed, image.shape[:2] if draw.gray else image.shape)
        factor = draw.strength
    else:
        levels = gray_levels(image) if draw.gray else quantize(image)
        base = count_base(levels)
        field = _poisson_deviations(levels, base, draw.seed)
        factor = 255 * draw.strength / (base * _STEPS_PER_COUNT)
    return cv2.merge([field] * 3) if draw.gray else field, factor


def _uniform_bits(seed: int, shape: tuple[int, ...]) -> npt.NDArray[np.uint16]:
    count = int(np.prod(shape))
    words = numpy_generator("noise", seed).bit_generator.random_raw(-(-count // 4))
    return words.astype("<u8", copy=False).view(np.dtype("<u2"))[:count].reshape(shape)


def _poisson_deviations(levels: Levels, base: int, seed: int) -> npt.NDArray[np.int16]:
    """Count minus rate of every sample, in 128ths of a count."""
    index = levels.astype(np.int32)
    index <<= _QUANTILE_BITS
    index |= _uniform_bits(seed, levels.shape) >> (16 - _QUANTILE_BITS)
    return _poisson_table(base).take(index)


@functools.cache
def _normal_table() -> FloatImage:
    table: FloatImage = ndtri((np.arange(65536) + 0.5) / 65536).astype(np.float32)
    return table


@functools.cache
def _poisson_table(base: int) -> npt.NDArray[np.int16]:
    """Quantiles of (count - rate) for the rates of all 256 grey levels, int16 [256 * 2048] (1 MiB)."""
    counts = np.arange(_MAX_COUNTS)
    probabilities = (np.arange(2**_QUANTILE_BITS) + 0.5) / 2**_QUANTILE_BITS
    table = np.zeros((256, len(probabilities)), dtype=np.int16)
    for level in range(1, 256):
        rate = level / 255 * base
        cumulated = np.cumsum(np.exp(counts * np.log(rate) - rate - gammaln(counts + 1)))
        quantiles = np.searchsorted(cumulated, probabilities)
        table[level] = np.rint((quantiles - rate) * _STEPS_PER_COUNT)
    return table.ravel()

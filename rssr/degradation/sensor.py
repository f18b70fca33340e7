"""How a coarser sensor would have seen a scene of reflectance: blur, pixels that average their ground, noise.

No clipping, no rounding, no compression. The blur is Gaussian and chosen so that, together with the area of the LR
pixels, a drawn share of contrast is left at the LR grid's Nyquist frequency, as a sensor's MTF is specified. The noise
has variance a + b * signal: what the electronics add, and what counting photons adds.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from rssr.degradation.config import SensorConfig
from rssr.degradation.draws import Size, lr_size
from rssr.degradation.noise import standard_normal
from rssr.errors import ImageError
from rssr.seeds import derive_seed, numpy_generator

FloatImage = npt.NDArray[np.float32]

_PIXEL_MTF = 2 / math.pi  # of a square pixel at its grid's Nyquist frequency: sinc(1/2)
_REACH = 4.0  # deviations of the Gaussian that are kept


@dataclass(frozen=True, slots=True)
class SensorDraws:
    """Decisions for one image.

    Attributes:
        scale: HR/LR size ratio.
        lr_size: Height and width of the LR image.
        mtf_at_nyquist: Contrast left down the columns and along the rows.
        dark_deviation: Of the noise where nothing is reflected, reflectance.
        signal_variance: Variance of the noise that each unit of reflectance adds.
        noise_seed: Of the noise field.
    """

    scale: float
    lr_size: Size
    mtf_at_nyquist: tuple[float, float]
    dark_deviation: float
    signal_variance: float
    noise_seed: int

    def sigmas(self) -> tuple[float, float]:
        """Deviations of the blur, HR pixels; 0 where the pixels' area alone leaves no more contrast than drawn."""
        down, along = (blur_sigma(mtf, self.scale) for mtf in self.mtf_at_nyquist)
        return down, along


def blur_sigma(mtf_at_nyquist: float, scale: float) -> float:
    """Deviation of the Gaussian, HR pixels, that with LR pixels of `scale` HR pixels leaves this contrast.

    A Gaussian leaves exp(-2 (pi sigma f)^2) at f cycles a pixel; the LR grid's Nyquist frequency is 1 / (2 scale).
    """
    share = mtf_at_nyquist / _PIXEL_MTF
    if share >= 1:
        return 0.0
    return 2 * scale / math.pi * math.sqrt(-math.log(max(share, 1e-6)) / 2)


def draw_sensor(config: SensorConfig, scale: float, seed: int, hr_size: Size) -> SensorDraws:
    """Draw every decision of one image: a pure function of the arguments.

    Args:
        config: Ranges.
        scale: HR/LR size ratio, at least 1.
        seed: Of this image and epoch.
        hr_size: Height and width, pixels.

    Raises:
        DataError: The scale leaves no LR pixel.
    """
    generator = numpy_generator("sensor", seed)
    down, along, dark, signal = generator.random(4)
    return SensorDraws(
        scale=scale,
        lr_size=lr_size(hr_size, scale),
        mtf_at_nyquist=(_between(config.mtf_at_nyquist_range, down), _between(config.mtf_at_nyquist_range, along)),
        dark_deviation=_between(config.dark_deviation_range, dark),
        signal_variance=_between(config.signal_variance_range, signal),
        noise_seed=derive_seed("sensor-noise", seed),
    )


def see_through_sensor(hr: npt.NDArray[np.float32] | npt.NDArray[np.uint8], draws: SensorDraws) -> FloatImage:
    """Apply decisions that were drawn for an image of this size.

    Args:
        hr: Reflectance, float32 [H, W, C], any number of bands; left unchanged.
        draws: Decisions.

    Returns:
        float32 [h, w, C]; negative values and those above 1 stay.

    Raises:
        ImageError: Another type or shape.
    """
    if hr.dtype != np.float32 or hr.ndim != 3:
        raise ImageError(
            f"The degradation got an HR image of type {hr.dtype} and shape {hr.shape}.",
            "Kind sentinel2 takes reflectance, float32 [height, width, bands]; pictures need another kind.",
        )
    blurred = _blur(np.ascontiguousarray(hr, dtype=np.float32), draws.sigmas())
    signal = reduce_by_area(blurred, draws.lr_size)
    variance = draws.dark_deviation**2 + draws.signal_variance * np.maximum(signal, 0)
    noise = np.sqrt(variance) * standard_normal(draws.noise_seed, signal.shape)
    noisy: FloatImage = (signal + noise).astype(np.float32, copy=False)
    return noisy


def reduce_by_area(image: FloatImage, size: Size) -> FloatImage:
    """Each output pixel averages exactly the ground that it covers, shares of input pixels included."""
    height, width = size
    bands = [cv2.resize(band, (width, height), interpolation=cv2.INTER_AREA) for band in cv2.split(image)]
    reduced: FloatImage = np.stack(bands, axis=-1)
    return reduced


def describe_sensor(draws: SensorDraws) -> str:
    """One line in words, for galleries and reports."""
    down, along = draws.mtf_at_nyquist
    return (
        f"x{draws.scale:g}: blur to MTF {down:.2f}/{along:.2f} at Nyquist > area to {draws.lr_size[1]}x"
        f"{draws.lr_size[0]} > noise {draws.dark_deviation:.1e} + {draws.signal_variance:.1e} of the signal's variance"
    )


def _blur(image: FloatImage, sigmas: tuple[float, float]) -> FloatImage:
    down, along = (_gaussian(sigma) for sigma in sigmas)
    blurred: FloatImage = cv2.sepFilter2D(image, cv2.CV_32F, along, down, borderType=cv2.BORDER_REFLECT_101)
    return blurred.reshape(image.shape)


def _gaussian(sigma: float) -> npt.NDArray[np.float64]:
    if sigma == 0:
        return np.ones(1)
    reach = math.ceil(_REACH * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel: npt.NDArray[np.float64] = weights / weights.sum()
    return kernel


def _between(limits: tuple[float, float], share: float) -> float:
    return float(limits[0] + (limits[1] - limits[0]) * share)

"""The fast degradation of one image: uint8 HR in, uint8 LR out, on one CPU thread; reflectance stays float32.

Follows Real-ESRGAN's second-order chain (arXiv:2107.10833, Figure 2): blur, resize, noise and JPEG, twice; then
the last resize with a sinc filter, before or after the last JPEG. JPEG is libjpeg's own. `rssr.degradation.reference`
holds the same chain in plain float32 PyTorch; with JPEG left out and the same draws both agree to one grey level.
"""

from typing import cast, overload

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from rssr.degradation.blur import FloatImage, blur
from rssr.degradation.config import DegradationConfig
from rssr.degradation.draws import (
    DegradationDraws,
    RoundDraws,
    Size,
    TailDraws,
    draw_degradation,
)
from rssr.degradation.jpeg import jpeg_round_trip
from rssr.degradation.kernels import build_kernel
from rssr.degradation.noise import add_noise, add_noise_and_quantize, quantize
from rssr.degradation.resize import resize_by, resize_to
from rssr.degradation.sensor import draw_sensor, see_through_sensor
from rssr.errors import ImageError

Levels = npt.NDArray[np.uint8]
Pixels = Levels | FloatImage


@overload
def degrade(hr: Levels, scale: float, config: DegradationConfig, seed: int) -> Levels: ...


@overload
def degrade(hr: FloatImage, scale: float, config: DegradationConfig, seed: int) -> FloatImage: ...


def degrade(hr: Pixels, scale: float, config: DegradationConfig, seed: int) -> Pixels:
    """Make the LR image of one HR image.

    Args:
        hr: uint8 [H, W, 3] RGB, in any memory layout; left unchanged. Kind `bicubic` takes any number of channels.
            Kind `sentinel2` takes reflectance instead, float32 [H, W, C].
        scale: HR/LR size ratio, at least 1; need not be a whole number.
        config: Ranges and probabilities of the degradation.
        seed: Seed of this image and epoch; the same seed gives the same LR image.

    Returns:
        Of the same type, [int(H / scale), int(W / scale), C].

    Raises:
        ImageError: If the HR image has another type or shape.
        DataError: If the scale leaves no LR pixel.
    """
    hr_size = hr.shape[0], hr.shape[1]
    if config.sensor is not None:
        return see_through_sensor(hr, draw_sensor(config.sensor, scale, seed, hr_size))
    levels = _require_levels(hr, any_channels=config.first is None)
    return apply_draws(levels, draw_degradation(config, scale, seed, hr_size))


def apply_draws(hr: Levels, draws: DegradationDraws) -> Levels:
    """Degrade an HR image with decisions already drawn for its size; see `degrade`."""
    hr = np.ascontiguousarray(hr)
    if draws.first is None or draws.second is None or draws.tail is None:
        return downsample_bicubic(hr, draws.lr_size)
    image: Pixels = hr
    if draws.first.blur is not None:
        image = blur(image, build_kernel(draws.first.blur))
    image = resize_by(_as_float(image), draws.first.resize_factor, draws.first.resize_mode)
    image = _add_noise_and_compress(image, draws.first)
    if draws.second.blur is not None:
        image = blur(image, build_kernel(draws.second.blur))
    image = resize_to(_as_float(image), draws.second_size, draws.second.resize_mode)
    return _finish(image, draws.second, draws.tail, draws.lr_size)


def downsample_bicubic(image: Levels, size: Size) -> Levels:
    """Pillow's antialiased bicubic downsampling of uint8 [H, W, C] to a height and width."""
    height, width = size
    bands = [Image.fromarray(band).resize((width, height), Image.Resampling.BICUBIC) for band in cv2.split(image)]
    return np.stack([np.asarray(band) for band in bands], axis=-1)


def configure_worker_threads() -> None:
    """Keep OpenCV to one thread in this process; call it where a worker starts, as workers share the cores."""
    cv2.setNumThreads(1)


def _add_noise_and_compress(image: FloatImage, draws: RoundDraws) -> Pixels:
    if draws.jpeg_quality is None:
        return add_noise(image, draws.noise)
    return jpeg_round_trip(add_noise_and_quantize(image, draws.noise), draws.jpeg_quality)


def _finish(image: FloatImage, second: RoundDraws, tail: TailDraws, size: Size) -> Levels:
    if tail.jpeg_first:
        image = _as_float(_add_noise_and_compress(image, second))
        return quantize(_resize_and_filter(image, tail, size))
    levels = quantize(_resize_and_filter(add_noise(image, second.noise), tail, size))
    return levels if second.jpeg_quality is None else jpeg_round_trip(levels, second.jpeg_quality)


def _resize_and_filter(image: FloatImage, tail: TailDraws, size: Size) -> FloatImage:
    image = resize_to(image, size, tail.resize_mode)
    return image if tail.sinc is None else blur(image, build_kernel(tail.sinc))


def _as_float(image: Pixels) -> FloatImage:
    return np.asarray(image, dtype=np.float32)


def _require_levels(hr: Pixels, any_channels: bool) -> Levels:
    if hr.dtype != np.uint8 or hr.ndim != 3 or not (any_channels or hr.shape[2] == 3):
        raise ImageError(
            f"The degradation got an HR image of type {hr.dtype} and shape {hr.shape}.",
            "It takes uint8 images of shape [height, width, 3]; other bands need kind bicubic.",
        )
    return cast("Levels", hr)

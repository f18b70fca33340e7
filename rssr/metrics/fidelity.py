"""PSNR and SSIM between a super-resolved picture and its ground truth, on luma or on all channels."""

import math
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from rssr.errors import ImageError
from rssr.metrics.colour import luma

Pixels = NDArray[np.uint8]  # [H, W, 3], RGB
Plane = NDArray[np.float64]  # [H, W]
ImageT = TypeVar("ImageT", NDArray[np.uint8], NDArray[np.float32])

PEAK = 255.0
SSIM_WINDOW = 11  # Wang et al. 2004, section III-C: 11x11 Gaussian of deviation 1.5
_SSIM_SIGMA = 1.5
_SSIM_C1 = (0.01 * PEAK) ** 2
_SSIM_C2 = (0.03 * PEAK) ** 2


def psnr_y(sr: Pixels, hr: Pixels, *, border: int = 0) -> float:
    """Peak signal-to-noise ratio on Y of YCbCr, dB; infinite for equal pictures.

    Args:
        sr: uint8 [H, W, 3].
        hr: uint8 [H, W, 3].
        border: Pixels left out on each side; papers often leave out `scale`.

    Raises:
        ImageError: Sizes or types differ, or nothing is left within the border.
    """
    sr, hr = crop_pair(sr, hr, border, smallest=1)
    return _psnr(luma(sr), luma(hr))


def psnr_rgb(sr: Pixels, hr: Pixels, *, border: int = 0) -> float:
    """PSNR over all three channels together; see `psnr_y`."""
    sr, hr = crop_pair(sr, hr, border, smallest=1)
    return _psnr(sr.astype(np.float64), hr.astype(np.float64))


def ssim_y(sr: Pixels, hr: Pixels, *, border: int = 0) -> float:
    """Structural similarity (Wang et al. 2004) on Y of YCbCr, over windows that lie wholly inside.

    Args:
        sr: uint8 [H, W, 3].
        hr: uint8 [H, W, 3].
        border: Pixels left out on each side, before windows are placed.

    Raises:
        ImageError: Sizes or types differ, or less than one 11x11 window is left.
    """
    sr, hr = crop_pair(sr, hr, border, smallest=SSIM_WINDOW)
    return _ssim(luma(sr), luma(hr))


def ssim_rgb(sr: Pixels, hr: Pixels, *, border: int = 0) -> float:
    """Mean over the three channels of the SSIM of each; see `ssim_y`."""
    sr, hr = crop_pair(sr, hr, border, smallest=SSIM_WINDOW)
    planes = [_ssim(sr[..., band].astype(np.float64), hr[..., band].astype(np.float64)) for band in range(3)]
    return float(np.mean(planes))


def psnr_bands(sr: NDArray[np.float32], hr: NDArray[np.float32], *, border: int = 0) -> tuple[float, ...]:
    """Peak signal-to-noise ratio of each band, dB, in network units: the peak is 2, from -1 to 1; nothing is clipped.

    There is no luma of other bands than red, green and blue.

    Args:
        sr: float32 [H, W, C].
        hr: float32 [H, W, C].
        border: Pixels left out on each side.

    Raises:
        ImageError: Sizes or types differ, or nothing is left within the border.
    """
    sr, hr = _inside(*_check_bands(sr, hr), border, smallest=1)
    return tuple(_psnr(*_as_levels(sr[..., band], hr[..., band])) for band in range(hr.shape[2]))


def ssim_bands(sr: NDArray[np.float32], hr: NDArray[np.float32], *, border: int = 0) -> tuple[float, ...]:
    """Structural similarity of each band in network units, -1 to 1 being the range; see `psnr_bands` and `ssim_y`."""
    sr, hr = _inside(*_check_bands(sr, hr), border, smallest=SSIM_WINDOW)
    return tuple(_ssim(*_as_levels(sr[..., band], hr[..., band])) for band in range(hr.shape[2]))


def _check_bands(sr: NDArray[np.float32], hr: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    for name, pixels in (("super-resolved", sr), ("ground truth", hr)):
        if pixels.dtype != np.float32 or pixels.ndim != 3:
            raise ImageError(f"The {name} image is {pixels.dtype} {pixels.shape}, not float32 [H, W, C].")
    return sr, hr


def _as_levels(*planes: NDArray[np.float32]) -> tuple[Plane, Plane]:
    """Network values on the scale of grey levels, neither rounded nor clipped."""
    sr, hr = ((plane.astype(np.float64) + 1) * (PEAK / 2) for plane in planes)
    return sr, hr


def crop_pair(sr: Pixels, hr: Pixels, border: int, smallest: int) -> tuple[Pixels, Pixels]:
    """Two pictures of one size without their border.

    Args:
        sr: uint8 [H, W, 3].
        hr: uint8 [H, W, 3].
        border: Pixels left out on each side.
        smallest: Height and width that must be left.

    Raises:
        ImageError: Sizes or types differ, or less is left.
    """
    for name, pixels in (("super-resolved", sr), ("ground truth", hr)):
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ImageError(f"The {name} picture is {pixels.dtype} {pixels.shape}, not uint8 [H, W, 3].")
    return _inside(sr, hr, border, smallest)


def _inside(sr: ImageT, hr: ImageT, border: int, smallest: int) -> tuple[ImageT, ImageT]:
    if sr.shape != hr.shape:
        raise ImageError(
            f"The super-resolved picture is {sr.shape[:2]}, the ground truth {hr.shape[:2]} pixels.",
            "Crop them to the same ground.",
        )
    height, width = (side - 2 * border for side in sr.shape[:2])
    if border < 0 or min(height, width) < smallest:
        raise ImageError(
            f"A border of {border} leaves {max(height, 0)}x{max(width, 0)} of {sr.shape[0]}x{sr.shape[1]} pixels.",
            f"At least {smallest}x{smallest} are needed.",
        )
    inside = slice(border, border + height), slice(border, border + width)
    return sr[inside], hr[inside]


def _psnr(sr: NDArray[np.float64], hr: NDArray[np.float64]) -> float:
    error = float(np.mean(np.square(sr - hr)))
    return math.inf if error == 0 else 10 * math.log10(PEAK**2 / error)


def _ssim(sr: Plane, hr: Plane) -> float:
    mean_sr, mean_hr = _local_mean(sr), _local_mean(hr)
    variance_sr = _local_mean(sr * sr) - mean_sr**2
    variance_hr = _local_mean(hr * hr) - mean_hr**2
    covariance = _local_mean(sr * hr) - mean_sr * mean_hr
    luminance = (2 * mean_sr * mean_hr + _SSIM_C1) / (mean_sr**2 + mean_hr**2 + _SSIM_C1)
    structure = (2 * covariance + _SSIM_C2) / (variance_sr + variance_hr + _SSIM_C2)
    return float(np.mean(luminance * structure))


def _local_mean(plane: Plane) -> Plane:
    """Gaussian-weighted mean over each whole window, [H - 10, W - 10]."""
    kernel = cv2.getGaussianKernel(SSIM_WINDOW, _SSIM_SIGMA)
    margin = SSIM_WINDOW // 2
    blurred: Plane = cv2.sepFilter2D(plane, cv2.CV_64F, kernel, kernel)
    return blurred[margin : plane.shape[0] - margin, margin : plane.shape[1] - margin]

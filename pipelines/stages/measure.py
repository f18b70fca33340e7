"""Measure SR images against HR images."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.stages import StageResources
from rssr.metrics import psnr_y, ssim_y
from rssr.metrics.fidelity import psnr_bands, ssim_bands

Pixels = npt.NDArray[np.uint8]

RESOURCES = StageResources(num_cpus=1, memory_bytes=300 * 2**20)


class Measure:
    """PSNR and SSIM on the Y channel, as the papers report. Stateless; safe to retry.

    Args:
        border: Pixels cut from every side first.
    """

    def __init__(self, border: int) -> None:
        self._border = border

    def __call__(self, pair: Mapping[str, Any]) -> dict[str, float]:
        """Metrics of `sr` against `hr`, both uint8 [H, W, 3]."""
        sr, hr = pair["sr"], pair["hr"]
        return {
            "psnr_y_db": psnr_y(sr, hr, border=self._border),
            "ssim_y": ssim_y(sr, hr, border=self._border),
        }


class MeasureBands:
    """PSNR of each band and its mean, and the mean SSIM, in network units. Stateless; safe to retry.

    Bands beyond red, green and blue have no Y channel.

    Args:
        border: Pixels cut from every side first.
        bands: Names of the bands.
    """

    def __init__(self, border: int, bands: Sequence[str]) -> None:
        self._border = border
        self._bands = tuple(bands)

    def __call__(self, pair: Mapping[str, Any]) -> dict[str, float]:
        """Metrics of `sr` against `hr`, both float32 [H, W, C]."""
        sr, hr = pair["sr"], pair["hr"]
        psnr = psnr_bands(sr, hr, border=self._border)
        return {
            "psnr_bands_db": fmean(psnr),
            "ssim_bands": fmean(ssim_bands(sr, hr, border=self._border)),
            **{f"psnr_{band.lower()}_db": value for band, value in zip(self._bands, psnr, strict=True)},
        }

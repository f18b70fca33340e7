"""Measure SR images against HR images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.stages import StageResources
from rssr.metrics import psnr_y, ssim_y

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

"""What a number means: which way is better, within which range, on which colours, and what it needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rssr.errors import ConfigError
from rssr.metrics.fidelity import psnr_rgb, psnr_y, ssim_rgb, ssim_y

Direction = Literal["higher", "lower"]
Need = Literal["hr", "lr", "nothing", "set"]


class PairMetric(Protocol):
    """A measure between two pictures, uint8 [H, W, 3]."""

    def __call__(self, sr: NDArray[np.uint8], hr: NDArray[np.uint8], *, border: int = 0) -> float:
        """Measure."""
        ...


@dataclass(frozen=True)
class MetricSpec:
    """One metric and how to read it.

    Attributes:
        name: As in tables and MLflow, e.g. `psnr_y`.
        title: As in reports.
        direction: Which way is better.
        value_range: Smallest and largest possible value.
        colour_space: `y`, `rgb`, or `bands` where each band counts alike.
        unit: E.g. `dB`; empty for a pure number.
        measure: Computes it from two pictures; None where more than the pictures is needed (a network, a data set).
        needs: Beside SR: the HR image, the LR image, nothing (no-reference), or a whole set of images.
        is_cropped: Whether the border that papers leave out is cut from both pictures first.
        weights: Files that it needs, by name; none where it needs no network.
        source: Where those come from, with their licence; or the paper that defines the measure.
    """

    name: str
    title: str
    direction: Direction
    value_range: tuple[float, float]
    colour_space: Literal["y", "rgb", "bands"]
    unit: str = ""
    measure: PairMetric | None = None
    needs: Need = "hr"
    is_cropped: bool = True
    weights: tuple[str, ...] = ()
    source: str = ""

    def is_better(self, value: float, than: float) -> bool:
        """Whether a value is strictly better than another."""
        return value > than if self.direction == "higher" else value < than


_INFINITE = float("inf")

METRICS: Mapping[str, MetricSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            MetricSpec("psnr_y", "PSNR (Y)", "higher", (0.0, _INFINITE), "y", "dB", psnr_y),
            MetricSpec("ssim_y", "SSIM (Y)", "higher", (-1.0, 1.0), "y", "", ssim_y),
            MetricSpec("psnr_rgb", "PSNR (RGB)", "higher", (0.0, _INFINITE), "rgb", "dB", psnr_rgb),
            MetricSpec("ssim_rgb", "SSIM (RGB)", "higher", (-1.0, 1.0), "rgb", "", ssim_rgb),
        )
    }
)
"""The metrics that need nothing but two pictures."""


def metric_spec(name: str) -> MetricSpec:
    """Look a metric up.

    Raises:
        ConfigError: There is no such metric; names those there are.
    """
    if name not in METRICS:
        raise ConfigError(f"There is no metric '{name}'.", f"Choose from: {', '.join(METRICS)}.")
    return METRICS[name]

"""What a number means: which way is better, within which range, on which colours, and what it needs.

The metrics themselves are gathered in `rssr.metrics.table`.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rssr.errors import ConfigError

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
        value_range: Smallest and largest possible value. A predicted opinion score, which is a network's output, may
            lie a little beyond the ends of the scale that the network was trained on.
        colour_space: `y`, `rgb`, or `bands` where each band counts alike.
        unit: E.g. `dB`; empty for a pure number.
        measure: Computes it from two pictures; None where more than the pictures is needed (a network, a data set).
        needs: Beside SR: the HR image, the LR image, nothing (no-reference), or a whole set of images.
        is_cropped: Whether the border that papers leave out is cut from both pictures first.
        weights: Files that it needs, by name; none where it needs no network.
        source: Where those come from, with their licence; or the paper that defines the measure.
        package: What must be installed beside rssr, with its licence; empty where nothing must.
        smallest_side: Smallest height and width that it takes, pixels, after cropping.
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
    package: str = ""
    smallest_side: int = 1

    def is_better(self, value: float, than: float) -> bool:
        """Whether a value is strictly better than another."""
        return value > than if self.direction == "higher" else value < than


def metric_spec(name: str) -> MetricSpec:
    """Look a metric up.

    Raises:
        ConfigError: There is no such metric; names those there are.
    """
    from rssr.metrics.table import METRICS  # here, because the table is made of this module's class

    if name not in METRICS:
        raise ConfigError(f"There is no metric '{name}'.", f"Choose from: {', '.join(METRICS)}.")
    return METRICS[name]

"""One quantity over an image, with its unit: what is shown in colours beside a scale."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ValueMap:
    """Values that are not colours themselves.

    Attributes:
        values: [h, w]; not a number where there is no value.
        unit: E.g. `m`; empty for pure numbers.
        limits: Values at the ends of the colour scale; None takes the smallest and the largest value. Maps to be
            compared share theirs.
    """

    values: NDArray[np.float32]
    unit: str
    limits: tuple[float, float] | None = None

    @property
    def extent(self) -> tuple[float, float]:
        """Smallest and largest value; both 0 where there is none."""
        finite = self.values[np.isfinite(self.values)]
        return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)

    @property
    def scale_ends(self) -> tuple[float, float]:
        """Values at the ends of the colour scale."""
        return self.extent if self.limits is None else self.limits

"""The factor that makes deviations hold a wanted share of errors.

Ratios of error to deviation are counted in fine steps, so that any number of images takes the same little memory.
"""

import math

import numpy as np
from numpy.typing import NDArray

ONE_DEVIATION = math.erf(1 / math.sqrt(2))
"""Share of normal errors within one deviation: 0.683."""

_STEPS_PER_OCTAVE = 64
_LOWEST, _HIGHEST = -16, 16  # powers of two between which ratios are told apart


class CoverageTally:
    """Gathers deviations and errors image by image.

    Where errors have heavier tails than normal ones, the root of their mean square holds more than 0.683 of them. A
    deviation times the factor found here holds that share whatever their distribution.
    """

    def __init__(self) -> None:
        self._counts = np.zeros((_HIGHEST - _LOWEST) * _STEPS_PER_OCTAVE)

    @property
    def num_values(self) -> int:
        """Errors taken in so far."""
        return int(self._counts.sum())

    def add(self, deviation: NDArray[np.floating], error: NDArray[np.floating]) -> None:
        """Take in values.

        Args:
            deviation: Above 0, any shape.
            error: What came about, in the same units and of the same shape; the sign plays no part.
        """
        d, e = deviation.ravel().astype(np.float64), np.abs(error.ravel().astype(np.float64))
        if d.shape != e.shape or not (d > 0).all():
            raise ValueError("deviations are above 0, and there is one for each error")
        ratio = np.log2(np.maximum(e / d, 2.0**_LOWEST))
        step = ((ratio - _LOWEST) * _STEPS_PER_OCTAVE).astype(np.int64).clip(0, len(self._counts) - 1)
        self._counts += np.bincount(step, minlength=len(self._counts))

    def factor(self, share: float = ONE_DEVIATION) -> float:
        """What deviations must be multiplied with so that this share of the errors is no larger than they are.

        Raises:
            ValueError: Nothing was added.
        """
        if self.num_values == 0:
            raise ValueError("there are no values yet")
        reached = np.cumsum(self._counts)
        wanted = share * reached[-1]
        step = int(np.searchsorted(reached, wanted))
        within = 1.0 - (reached[step] - wanted) / self._counts[step]
        return float(2.0 ** (_LOWEST + (step + within) / _STEPS_PER_OCTAVE))

"""Sums of many arrays without any rounding, so that they do not depend on order or grouping."""

import math

import numpy as np
from numpy.typing import NDArray


class ExactSum:
    """Adds float64 arrays exactly, element by element.

    A sum is kept as several float64 arrays that together are its exact value: what rounding takes away from one goes
    to the next (Shewchuk 1997, Adaptive Precision Floating-Point Arithmetic). Two to four suffice in practice, whatever
    the number of summands.

    Args:
        shape: Of the arrays.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._parts: list[NDArray[np.float64]] = [np.zeros(shape)]

    @property
    def parts(self) -> NDArray[np.float64]:
        """[n, *shape] that sum to the exact value; how it is divided among them depends on the order of summands."""
        return np.stack(self._parts)

    def add(self, values: NDArray[np.float64]) -> None:
        """Add finite values of the given shape."""
        rest = values
        for part in self._parts:
            total = part + rest
            taken = total - part
            rest = (part - (total - taken)) + (rest - taken)  # what rounding of the total left out, exactly
            part[...] = total
        if rest.any():
            self._parts.append(rest)

    def merge(self, other: "ExactSum") -> None:
        """Add another sum."""
        for part in other.parts:
            self.add(part)

    def rounded(self) -> NDArray[np.float64]:
        """The sum, rounded once, to the nearest float64."""
        if len(self._parts) == 1:
            return self._parts[0].copy()
        columns = zip(*(part.ravel().tolist() for part in self._parts), strict=True)
        return np.array([math.fsum(column) for column in columns]).reshape(self._parts[0].shape)

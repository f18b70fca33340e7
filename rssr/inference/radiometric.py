"""Stored numbers of any type shown to a model through a stretch of what they mean, and the way back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rssr.inference.values import rounded_to
from rssr.raster import Radiometry
from rssr.stretch import Stretch

FloatArray = NDArray[np.float32]

_BRIGHTEST = (0.9, 20.0)  # reflectance that the largest number of a type may stand for


@dataclass(frozen=True, eq=False)
class StoredStretch:
    """Stored numbers [C, ...] to network values and back, over physical = stored * scale + offset.

    Attributes:
        stretch: Physical values to network values.
        radiometry: Of the same bands.
        dtype: Type of the stored numbers.
    """

    stretch: Stretch
    radiometry: Radiometry
    dtype: np.dtype[Any]

    def to_network(self, values: NDArray[Any]) -> FloatArray:
        """Stored numbers to about [-1, 1], float32; nothing is clipped."""
        scales, offsets = self._map(values.ndim)
        return self.stretch.to_network(values * scales + offsets)

    def exact_from_network(self, values: FloatArray) -> NDArray[Any]:
        """Network values to stored units, neither rounded nor clipped."""
        scales, offsets = self._map(values.ndim)
        exact: NDArray[Any] = (self.stretch.from_network(values) - offsets) / scales
        return exact if self.dtype.itemsize > 2 else exact.astype(np.float32)

    def stored(self, exact: NDArray[Any]) -> NDArray[Any]:
        """Stored units as they are stored."""
        return rounded_to(exact, self.dtype)

    def from_network(self, values: FloatArray) -> NDArray[Any]:
        """Network values to stored numbers; whole ones are rounded and clipped to what the type holds."""
        return self.stored(self.exact_from_network(values))

    def deviation_from_network(self, values: FloatArray) -> FloatArray:
        """Deviations in network units to the unit of the stored numbers, float32.

        Raises:
            ModelError: The stretch has a gamma.
        """
        scales, _ = self._map(values.ndim)
        return np.asarray(self.stretch.deviation_from_network(values) / scales, np.float32)

    def to_metadata(self) -> str:
        """The stretch as one line of JSON."""
        return self.stretch.to_metadata()

    def _map(self, num_axes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        shape = (-1,) + (1,) * (num_axes - 1)
        scales, offsets = (np.array(part, np.float64) for part in (self.radiometry.scales, self.radiometry.offsets))
        return scales.reshape(shape), offsets.reshape(shape)


def tells_reflectance(radiometry: Radiometry, dtype: np.dtype[Any]) -> bool:
    """Whether a file's scale and offset can be those of reflectance: the largest whole number stands for 0.9 to 20."""
    if not radiometry.declared or not np.issubdtype(dtype, np.integer):
        return False
    low, high = _BRIGHTEST
    largest = float(np.iinfo(dtype).max)
    maps = zip(radiometry.scales, radiometry.offsets, strict=True)
    return all(low <= largest * scale + offset <= high for scale, offset in maps)


def of_bands(radiometry: Radiometry, bands: list[int]) -> Radiometry:
    """That of some bands, in another order."""
    return Radiometry(
        tuple(radiometry.scales[band] for band in bands),
        tuple(radiometry.offsets[band] for band in bands),
        radiometry.declared,
    )

"""Pixel values to network values and back, as the model's card defines them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rssr.errors import ModelError

if TYPE_CHECKING:
    from rssr.card import ModelCard

FloatArray = NDArray[np.float32]

_MOST_PLACES = 3
_FRACTION_SLACK = 0.5  # reflectances a little below 0 or above 1 are real; 0 to 255 is a mistake


class Values(Protocol):
    """A map between stored values [C, ...] and what the network sees, both ways."""

    def to_network(self, values: NDArray[Any], /) -> FloatArray:
        """Stored values to about [-1, 1], float32."""

    def from_network(self, values: FloatArray, /) -> NDArray[Any]:
        """About [-1, 1] to stored values."""

    def exact_from_network(self, values: FloatArray, /) -> NDArray[Any]:
        """About [-1, 1] to the unit of the stored values, neither rounded nor clipped: decimal numbers."""

    def stored(self, exact: NDArray[Any], /) -> NDArray[Any]:
        """The second half of `from_network`."""

    def deviation_from_network(self, values: FloatArray, /) -> FloatArray:
        """Deviations in network units to the unit of the stored values, float32."""


@dataclass(frozen=True)
class ValueScale:
    """Linear map between stored values and what the network sees.

    Attributes:
        low: Value that becomes -1.
        high: Value that becomes 1.
        dtype: Type of the stored values.
    """

    low: float
    high: float
    dtype: np.dtype[Any]

    def to_network(self, values: NDArray[Any]) -> FloatArray:
        """Stored values to about [-1, 1], float32."""
        half = (self.high - self.low) / 2
        scaled: FloatArray = (values.astype(np.float32) - np.float32(self.low)) / np.float32(half) - np.float32(1)
        return scaled

    def from_network(self, values: FloatArray) -> NDArray[Any]:
        """About [-1, 1] to stored values; whole numbers are rounded and clipped to what the type holds."""
        return self.stored(self.exact_from_network(values))

    def exact_from_network(self, values: FloatArray) -> NDArray[Any]:
        """About [-1, 1] to the unit of the stored values, neither rounded nor clipped."""
        half = (self.high - self.low) / 2
        # Single precision resolves 16 bits, and strips of large scenes are worth no second copy.
        physical: NDArray[Any] = values.astype(np.float32 if self.dtype.itemsize <= 2 else np.float64)
        physical += 1
        physical *= half
        physical += self.low
        return physical

    def stored(self, exact: NDArray[Any]) -> NDArray[Any]:
        """What `exact_from_network` gives, as it is stored; the numbers given are changed."""
        return rounded_to(exact, self.dtype)

    def deviation_from_network(self, values: FloatArray) -> FloatArray:
        """Deviations in network units to the unit of the stored values, float32: nothing is shifted or rounded."""
        deviation: FloatArray = values * np.float32((self.high - self.low) / 2)
        return deviation


def rounded_to(exact: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Decimal numbers as a type; whole ones are rounded, in place, and clipped to what the type holds."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        np.clip(np.rint(exact, out=exact), limits.min, limits.max, out=exact)
    stored: NDArray[Any] = exact.astype(dtype)
    return stored


def value_scale(card: "ModelCard | None", dtype: np.dtype[Any]) -> Values:
    """How values of a type are shown to a model.

    Whole numbers must be of the type the model was trained on. Floating-point values are in the card's own units if
    it was trained on such, else fractions: 0 and 1 stand for the ends of the card's range. A model of reflectance takes
    it through its card's stretch. A model without a card (`bicubic`) takes any type.

    Raises:
        ModelError: The model was trained on another type.
    """
    floating = np.issubdtype(dtype, np.floating)
    if card is None:
        if floating or dtype.itemsize > 2:  # as they are: a range of 2**32 would leave nothing of small values
            return ValueScale(-1.0, 1.0, dtype)
        limits = np.iinfo(dtype)
        return ValueScale(float(limits.min), float(limits.max), dtype)
    if card.stretch is not None:
        if not floating:
            raise ModelError(
                f"The image holds {dtype.name} numbers, but {card.name} takes reflectance, about 0 to 1.",
                "Give the Sentinel-2 product itself (its SAFE folder or STAC item), a GeoTIFF that declares scale and "
                "offset of its bands, or float32 reflectance.",
            )
        return card.stretch
    if floating and card.dtype != "float32":
        return ValueScale(0.0, 1.0, dtype)
    if not floating and dtype.name != card.dtype:
        raise ModelError(
            f"The image is {dtype.name}, but {card.name} was trained on {card.dtype} values "
            f"from {card.value_range[0]:g} to {card.value_range[1]:g}.",
            f"Convert the image to {card.dtype}; give a GeoTIFF that declares scale and offset of reflectance, or say "
            "which values shall look black and white: --stretch LOW HIGH (super_resolve_scene: stretch=...); or choose "
            f"a model that was trained on {dtype.name}.",
        )
    return ValueScale(card.value_range[0], card.value_range[1], dtype)


def check_values(values: NDArray[Any], card: "ModelCard | None") -> None:
    """Refuse what is certainly not meant: NaN, and floating-point grey levels where fractions are expected.

    Args:
        values: [C, H, W].
        card: Of the model.

    Raises:
        ModelError: With the number of bad values and where the first ones are, or the range that was found.
    """
    if not np.issubdtype(values.dtype, np.floating):
        return
    broken = np.argwhere(~np.isfinite(values))
    if len(broken):
        places = [f"band {band}, row {row}, column {column}" for band, row, column in broken[:_MOST_PLACES]]
        more = ", ..." if len(broken) > len(places) else ""
        raise ModelError(
            f"{len(broken)} of {values.size} values are NaN or infinite, at {'; '.join(places)}{more} "
            "(counted from 0).",
            "Fill them, or give a GeoTIFF, whose nodata mask is kept.",
        )
    if card is not None and card.dtype != "float32":
        low, high = float(values.min()), float(values.max())
        if low < -_FRACTION_SLACK or high > 1 + _FRACTION_SLACK:
            raise ModelError(
                f"Floating-point values are read as fractions of {card.name}'s range, 0 to 1, but these go from "
                f"{low:g} to {high:g}.",
                f"Convert them to {card.dtype}, or divide them by {card.value_range[1]:g}.",
            )

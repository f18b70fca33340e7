"""The declared map between reflectance and what networks see, which can be turned round.

Networks take values about [-1, 1]. Which reflectance becomes -1 and which 1 is declared a band, goes with every model
and product, and nothing is clipped: a bright cloud is seen far above 1, and comes back as what it was.
"""

import json
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from rssr.configuration import Config
from rssr.errors import ModelError

FloatArray = NDArray[np.float32]

_VISIBLE = ("B01", "B02", "B03", "B04")
_BRIGHT_LAND = 0.3  # of visible light: all but snow, clouds, sand and roofs lies below
_BRIGHT_PLANTS = 0.5  # the same beyond red, where plants reflect


class StretchConfig(Config):
    """Which reflectances become -1 and 1."""

    low: float | tuple[float, ...] = 0.0
    """Reflectance that becomes -1; one for all bands, or one a band."""
    high: float | tuple[float, ...] | None = None
    """Reflectance that becomes 1, likewise; null takes 0.3 for visible bands (B01 to B04) and 0.5 for the others."""
    gamma: float = Field(default=1.0, ge=1)
    """Values between are raised to 1/gamma, which brightens dark ones; below `low` and above `high` too, so that it
    can be turned round. 1 is linear."""

    def over(self, bands: Sequence[str]) -> "Stretch":
        """The stretch of some bands.

        Raises:
            ValueError: Another number of values than bands, or one range is empty.
        """
        high = self.high
        if high is None:
            high = tuple(_BRIGHT_LAND if band in _VISIBLE else _BRIGHT_PLANTS for band in bands)
        return Stretch(
            bands=tuple(bands), low=_one_a_band(self.low, bands), high=_one_a_band(high, bands), gamma=self.gamma
        )


class Stretch(Config):
    """The stretch of some bands.

    value = 2 * u ** (1 / gamma) - 1 with u = (reflectance - low) / (high - low); u keeps its sign in the power.
    """

    bands: tuple[str, ...] = Field(min_length=1)
    """Names of the bands, in order."""
    low: tuple[float, ...]
    """Reflectance that becomes -1, a band at a time."""
    high: tuple[float, ...]
    """Reflectance that becomes 1."""
    gamma: float = Field(default=1.0, ge=1)
    """Exponent of the way back; 1 is linear."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not len(self.bands) == len(self.low) == len(self.high):
            raise ValueError(f"{len(self.bands)} bands need as many values of low and high")
        if any(low >= high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("each low must lie below its high")
        return self

    def to_network(self, reflectance: NDArray[Any]) -> FloatArray:
        """Reflectance [C, ...] to network values, float32; nothing is clipped."""
        low, span = self._bounds(reflectance.ndim)
        shares = (reflectance.astype(np.float64) - low) / span
        values: FloatArray = (2 * _power(shares, 1 / self.gamma) - 1).astype(np.float32)
        return values

    def from_network(self, values: FloatArray) -> FloatArray:
        """Network values [C, ...] to reflectance, float32; nothing is clipped."""
        low, span = self._bounds(values.ndim)
        shares = _power((values.astype(np.float64) + 1) / 2, self.gamma)
        reflectance: FloatArray = (shares * span + low).astype(np.float32)
        return reflectance

    def exact_from_network(self, values: FloatArray) -> FloatArray:
        """As `from_network`: reflectance is not rounded."""
        return self.from_network(values)

    def stored(self, exact: NDArray[Any]) -> FloatArray:
        """Reflectance as it is stored."""
        return exact.astype(np.float32)

    def deviation_from_network(self, deviation: FloatArray) -> FloatArray:
        """Deviations [C, ...] in network units to reflectance, float32.

        Raises:
            ModelError: With a gamma they depend on the values themselves.
        """
        if self.gamma != 1:
            raise ModelError(
                f"A stretch of gamma {self.gamma:g} has no unit for error bars.",
                "Train with data.scenes.stretch.gamma=1.",
            )
        _, span = self._bounds(deviation.ndim)
        scaled: FloatArray = (deviation * (span / 2)).astype(np.float32)
        return scaled

    def to_metadata(self) -> str:
        """The parameters as one line of JSON, for a product's tags."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    def _bounds(self, num_axes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        shape = (-1,) + (1,) * (num_axes - 1)
        low, high = (np.array(values, np.float64).reshape(shape) for values in (self.low, self.high))
        return low, high - low


def _power(shares: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """The power of magnitudes; signs stay."""
    return shares if exponent == 1 else np.sign(shares) * np.abs(shares) ** exponent


def _one_a_band(value: float | tuple[float, ...], bands: Sequence[str]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,) * len(bands)

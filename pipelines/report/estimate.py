"""A number with the interval that it lies in."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """What was found, and how sure that is.

    Attributes:
        value: The number.
        low: Lower end of its interval; NaN where there is none.
        high: Upper end.
        note: A few words below it, e.g. the share of images won.
        is_signed: Whether a plus is written, as for differences.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    note: str = ""
    is_signed: bool = False

    @property
    def has_interval(self) -> bool:
        """Whether both ends are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def value_text(self, digits: int) -> str:
        """The number alone."""
        return self._text(self.value, digits)

    def interval_text(self, digits: int) -> str:
        """The interval alone; empty where there is none."""
        return f"{self._text(self.low, digits)} to {self._text(self.high, digits)}" if self.has_interval else ""

    def text(self, digits: int) -> str:
        """Number and interval in one line."""
        interval = self.interval_text(digits)
        return self.value_text(digits) + (f" ({interval})" if interval else "")

    def _text(self, value: float, digits: int) -> str:
        rounded = round(value, digits) + 0.0  # no minus before a zero
        return f"{rounded:{'+' if self.is_signed and rounded else ''},.{digits}f}"

"""From stored numbers to reflectance, and whether the pixels bear out what is said about it.

reflectance = (DN + offset) / quantification. ESA adds 1000 to all numbers since processing baseline 04.00 (25 January
2022), so that dark pixels are not cut off at 0; Collection 1 brings older images over to that rule, and some archives
take the 1000 away again. Who is wrong by that much has everything wrong, so nothing is guessed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from rssr.errors import RasterError
from rssr.raster import Radiometry

QUANTIFICATION = 10_000.0
OFFSET = -1000.0
NODATA, SATURATED = 0, 65_535
DARK_PERCENTILE = 1.0
"""Of a band's valid numbers: what is called dark."""

_FIRST_BASELINE_WITH_OFFSET = (4, 0)
_FIRST_DAY_WITH_OFFSET = date(2022, 1, 25)
_BLACK = -0.03
"""Reflectance below which nothing lies that was calibrated right: over-corrected shadows reach -0.02."""
_BASELINE = re.compile(r"N?(\d{2})\.?(\d{2})|(\d)\.(\d{1,2})")
_HAZY = ("B01", "B02", "B03")  # at the top of the atmosphere, air alone is that bright


@dataclass(frozen=True)
class Calibration:
    """What a product's numbers mean.

    Attributes:
        quantification: Numbers to reflectance 1.
        offsets: Added before the division, by band.
        source: Where the offset comes from, for people.
        declared_by_user: Whether the user said so, against or without the metadata; then pixels are not asked.
    """

    quantification: float
    offsets: Mapping[str, float]
    source: str
    declared_by_user: bool = False

    def radiometry(self, bands: tuple[str, ...]) -> Radiometry:
        """The same as scale and physical offset of each band."""
        scale = 1 / self.quantification
        return Radiometry((scale,) * len(bands), tuple(self.offsets[band] * scale for band in bands))

    def describe(self) -> dict[str, object]:
        """Plain values for metadata."""
        return {"quantification": self.quantification, "offsets": dict(self.offsets), "source": self.source}


def parse_baseline(text: str) -> tuple[int, int]:
    """`04.00`, `N0400` or `5.09` as numbers.

    Raises:
        RasterError: It is neither.
    """
    match = _BASELINE.fullmatch(text.strip())
    if match is None:
        raise RasterError(f"{text!r:.40} is no processing baseline.", "Write it like 05.09.")
    major, minor = (match.group(1), match.group(2)) if match.group(1) else (match.group(3), match.group(4))
    return int(major), int(minor)


def offset_of_baseline(text: str) -> float:
    """The offset that products of a baseline have."""
    return OFFSET if parse_baseline(text) >= _FIRST_BASELINE_WITH_OFFSET else 0.0


def may_have_offset(baseline: str | None, taken: date | None) -> bool:
    """Whether ESA's own product of this baseline or day would have the offset, or neither is known."""
    if baseline is not None:
        return offset_of_baseline(baseline) != 0
    return taken is None or taken >= _FIRST_DAY_WITH_OFFSET


def check_dark_pixels(
    name: str, calibration: Calibration, darkest: Mapping[str, float], may_have: bool, level: str | None
) -> None:
    """Refuse an offset that the darkest pixels contradict.

    Two findings are contradictions: with the offset, dark pixels would reflect less than nothing (it was taken away
    already); or without it, a product that may have one has no dark pixels in any band (it is still in them).

    Args:
        name: What the error calls the product.
        calibration: What is said.
        darkest: `DARK_PERCENTILE` of the valid numbers of each band; bands without any are left out.
        may_have: See `may_have_offset`.
        level: `L1C` or `L2A`.

    Raises:
        RasterError: With the figures, and the key that overrides.
    """
    if calibration.declared_by_user or not darkest:
        return
    reflectances = {band: (dn + calibration.offsets[band]) / calibration.quantification for band, dn in darkest.items()}
    band = min(reflectances, key=lambda name: reflectances[name])
    offset = calibration.offsets[band]
    found = f"the darkest {DARK_PERCENTILE:g} % of {band} lie at {darkest[band]:.0f}"
    if offset < 0 and reflectances[band] < _BLACK:
        raise RasterError(
            f"{name}: the offset is {offset:g} ({calibration.source}), but {found}, which would reflect "
            f"{reflectances[band]:.3f}: less than nothing. The pixels seem to have had it applied already.",
            "Declare offset=0 (in a job data.scenes.offset=0) if so, or the offset that holds.",
        )
    if level == "L1C":
        darkest = {name: dn for name, dn in darkest.items() if name not in _HAZY}
    bright = bool(darkest) and min(darkest.values()) >= -OFFSET
    if offset == 0 and may_have and bright:
        raise RasterError(
            f"{name}: there is no offset ({calibration.source}), but {found}, and no band is darker, as where the "
            "1000 of processing baseline 04.00 is still in the pixels.",
            "Declare offset=-1000 (in a job data.scenes.offset=-1000) if so, or offset=0 if all of it is that bright.",
        )

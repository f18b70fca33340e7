"""What a user says of a product that it does not say itself, or says wrongly."""

from pydantic import Field, field_validator

from rssr.configuration import Config
from rssr.errors import RasterError
from rssr.sentinel2.bands import canonical_band
from rssr.sentinel2.calibration import parse_baseline


class Declared(Config):
    """Overrides of a Sentinel-2 product's metadata."""

    offset: float | None = None
    """Added to the stored numbers before the division, e.g. -1000 or 0. Goes before all metadata, and dark pixels are
    not asked whether it can be right. Null takes the product's own, or that of its processing baseline."""
    quantification: float | None = Field(default=None, gt=0)
    """Stored numbers to reflectance 1. Null takes the product's own, else 10000."""
    processing_baseline: str | None = None
    """Processing baseline of files that do not name theirs, e.g. 05.09: since 04.00 the offset is -1000."""
    file_bands: tuple[str, ...] | None = None
    """Bands of a file that does not name them, in its order, e.g. [B04, B03, B02, B08]."""

    @field_validator("processing_baseline")
    @classmethod
    def _require_baseline(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_baseline(value)
            except RasterError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("file_bands")
    @classmethod
    def _require_bands(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if value is None else require_bands(value)


def require_bands(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of distinct bands as Sentinel-2 writes them.

    Raises:
        ValueError: One is no band, or twice there.
    """
    found = [canonical_band(name) for name in names]
    unknown = [name for name, band in zip(names, found, strict=True) if band is None]
    if unknown or not names:
        raise ValueError(f"{', '.join(unknown) or 'nothing'} is no band of Sentinel-2; they are B01 to B12 and B8A")
    if len(set(found)) != len(found):
        raise ValueError("a band is named twice")
    return tuple(band for band in found if band is not None)

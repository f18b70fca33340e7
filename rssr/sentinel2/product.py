"""What a Sentinel-2 product says about itself, before a pixel is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from rssr.errors import RasterError
from rssr.raster import ByteSource
from rssr.sentinel2.bands import RESOLUTION_M
from rssr.sentinel2.calibration import QUANTIFICATION, Calibration, may_have_offset, offset_of_baseline
from rssr.sentinel2.declared import Declared

Moments = tuple[datetime, datetime]


@dataclass(frozen=True)
class BandFile:
    """Where a band lies.

    Attributes:
        source: The image: its path, or where its bytes come from.
        position: Of the band among those of the file, from 0.
        resolution_m: As the product says; None where only the file itself tells.
    """

    source: str | ByteSource
    position: int = 0
    resolution_m: int | None = None


@dataclass(frozen=True)
class Product:
    """A product's files and metadata.

    Attributes:
        name: What errors call it.
        files: Files of each band, by its name.
        level: `L1C` or `L2A`; None where unknown.
        baseline: Processing baseline; None where unknown.
        taken: Day of the image; None where unknown.
        quantification: As the metadata has it; None where it says nothing.
        offsets: As the metadata has them, by band; None where it says nothing.
        source: Where `offsets` come from.
        sensed: First and last moment of the image, UTC; None where unknown.
    """

    name: str
    files: Mapping[str, tuple[BandFile, ...]]
    level: str | None = None
    baseline: str | None = None
    taken: date | None = None
    quantification: float | None = None
    offsets: Mapping[str, float] | None = None
    source: str = ""
    sensed: Moments | None = None

    @property
    def acquired(self) -> Moments | None:
        """Between which moments the image was taken, UTC: the whole day where only that is known; None for neither."""
        if self.sensed is not None or self.taken is None:
            return self.sensed
        first, last = (datetime.combine(self.taken, moment, UTC) for moment in (time.min, time(23, 59, 59)))
        return first, last

    @property
    def may_have_offset(self) -> bool:
        """Whether ESA's own product would have the offset, or its time is unknown."""
        return may_have_offset(self.baseline, self.taken)

    def choose_files(self, bands: Sequence[str]) -> dict[str, BandFile]:
        """One file a band: at the finest native resolution of those asked for where there is one, else the finest.

        Raises:
            RasterError: The product lacks a band.
        """
        missing = [band for band in bands if band not in self.files]
        if missing:
            there = ", ".join(sorted(self.files)) or "none"
            raise RasterError(
                f"{self.name} lacks {', '.join(missing)}; its bands are: {there}.",
                "Fetch the whole product, or ask for bands that it has.",
            )
        finest = min(RESOLUTION_M[band] for band in bands)
        return {band: min(self.files[band], key=lambda file: _preference(file, finest)) for band in bands}

    def calibration(self, bands: Sequence[str], declared: Declared) -> Calibration:
        """What the numbers mean, by the first that says so: the user, the metadata, the processing baseline.

        Raises:
            RasterError: Nothing says so.
        """
        quantification = declared.quantification or self.quantification or QUANTIFICATION
        if declared.offset is not None:
            return Calibration(quantification, dict.fromkeys(bands, declared.offset), "declared by the user", True)
        if self.offsets is not None and all(band in self.offsets for band in bands):
            return Calibration(quantification, {band: self.offsets[band] for band in bands}, self.source)
        baseline = declared.processing_baseline or self.baseline
        if baseline is None:
            raise RasterError(
                f"{self.name} does not say which offset its numbers have: it names no processing baseline.",
                "Declare processing_baseline=05.09 or whichever made it, or the offset itself: offset=-1000 or "
                "offset=0 (in a job data.scenes.processing_baseline and data.scenes.offset).",
            )
        offsets = dict.fromkeys(bands, offset_of_baseline(baseline))
        return Calibration(quantification, offsets, f"processing baseline {baseline}")


def level_of(name: str) -> str | None:
    """`L1C` or `L2A` from a product's or file's name.

    Raises:
        RasterError: It is a level that has no reflectance on a map.
    """
    upper = name.upper()
    for found in ("L0", "L1A", "L1B"):
        if f"MSI{found}_" in upper or f"MSI_{found}_" in upper:
            raise refused_level(name, found)
    return next((level for level in ("L1C", "L2A") if f"MSI{level}" in upper or f"_{level}_" in upper), None)


def refused_level(name: str, level: str) -> RasterError:
    """The error about a level that cannot be used."""
    return RasterError(
        f"{name} is of level {level}: numbers of the sensor, neither reflectance nor laid on a map.",
        "Give the Level-1C or Level-2A product of the same image.",
    )


def moment(text: object) -> datetime | None:
    """A time as metadata write it, in UTC where no other zone is named; None for what is none, such as a day."""
    plain = str(text).strip()
    try:
        found = datetime.fromisoformat(plain) if len(plain) > len("2022-06-03") else None
    except ValueError:
        return None
    if found is None:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def moments(first: object, last: object) -> Moments | None:
    """Both ends of a time; where only the first is known, it is the last as well."""
    start, end = moment(first), moment(last)
    return None if start is None else (start, start if end is None or end < start else end)


def _preference(file: BandFile, finest: int) -> tuple[bool, int]:
    resolution = file.resolution_m or 0
    return resolution != finest, resolution

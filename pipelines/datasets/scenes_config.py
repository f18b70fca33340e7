"""How training images are cut from Sentinel-2 products."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from rssr.sentinel2 import Declared, Stretch, StretchConfig, require_bands


class ScenesConfig(Declared):
    """Sentinel-2 products in place of pictures: `data.uri` holds SAFE folders, STAC items or GeoTIFFs."""

    bands: tuple[str, ...] = ("B02", "B03", "B04", "B08")
    """Bands to train on, in this order; `in_bands` is their number."""
    tile_size: int = Field(default=512, ge=16)
    """Side of the squares that products are cut into, HR pixels; each counts as one image, of which patches are cut."""
    max_nodata_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of a square's pixels that may lack data or be saturated; these take the value of the nearest that has.
    Squares with more are left out."""
    resample: bool = False
    """Whether bands of coarser resolution are enlarged to the finest of `bands`; otherwise they are refused."""
    stretch: StretchConfig = StretchConfig()
    """Reflectance to network values; goes to the model's card and to every product."""

    @field_validator("bands")
    @classmethod
    def _require_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return require_bands(value)

    @model_validator(mode="after")
    def _check_stretch(self) -> Self:
        _ = self.value_stretch
        return self

    @property
    def value_stretch(self) -> Stretch:
        """The stretch of the bands."""
        return self.stretch.over(self.bands)

    @property
    def declared(self) -> Declared:
        """What the user says of the products."""
        return Declared(**{name: getattr(self, name) for name in Declared.model_fields})

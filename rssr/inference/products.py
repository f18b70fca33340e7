"""What a scene's products hold: which bands, from where, and with what meaning."""

from dataclasses import dataclass, replace
from pathlib import Path

from rssr.inference.radiometric import of_bands
from rssr.raster import Radiometry, RasterInfo, scaled_transform
from rssr.tiling import TilePlan


@dataclass(frozen=True)
class ProductBands:
    """The bands of a product.

    Attributes:
        in_scene: Number of each band in the scene.
        from_model: Number of each band among the model's; None where the model does not take it.
    """

    in_scene: tuple[int, ...]
    from_model: tuple[int | None, ...]

    @classmethod
    def of(cls, taken: list[int], num_bands: int, *, others: bool) -> "ProductBands":
        """Those that the model takes, in its order; with the others all of the scene's, in the scene's order.

        Args:
            taken: Numbers of the scene's bands that the model takes, in its order.
            num_bands: Of the scene.
            others: Whether the product has them too.
        """
        bands = range(num_bands) if others and len(taken) < num_bands else taken
        return cls(tuple(bands), tuple(taken.index(band) if band in taken else None for band in bands))

    @property
    def of_model(self) -> list[int]:
        """Numbers of the product's bands that the model makes."""
        return [band for band, number in enumerate(self.from_model) if number is not None]

    @property
    def others(self) -> list[int]:
        """Numbers of the product's bands that it does not make."""
        return [band for band, number in enumerate(self.from_model) if number is None]


def sr_info(info: RasterInfo, plan: TilePlan, bands: ProductBands) -> RasterInfo:
    """The image over the scene's ground: some of its bands, with its type, radiometry and nodata number."""
    return replace(
        info,
        size=plan.sr_size,
        num_bands=len(bands.in_scene),
        transform=scaled_transform(info.transform, plan.lr_size, plan.sr_size),
        band_names=tuple(info.band_names[band] for band in bands.in_scene),
        radiometry=of_bands(info.radiometry, list(bands.in_scene)),
    )


def deviation_info(info: RasterInfo, bands: ProductBands) -> RasterInfo:
    """Deviations of the model's bands. They scale as the values do, but an offset does not shift them.

    Args:
        info: Of the image.
        bands: Its bands.
    """
    ordered = sorted(bands.of_model, key=lambda band: bands.from_model[band] or 0)
    scales = tuple(info.radiometry.scales[band] for band in ordered)
    return replace(
        info,
        dtype="float32",
        nodata=float("nan"),
        num_bands=len(ordered),
        band_names=tuple(f"{info.band_names[band]} deviation" for band in ordered),
        radiometry=Radiometry(scales, (0.0,) * len(scales), info.radiometry.declared),
    )


def consistency_info(info: RasterInfo, bands: ProductBands) -> RasterInfo:
    """How far SR, taken back to the LR grid, is from LR: one band over the scene's own pixels.

    Args:
        info: Of the scene.
        bands: Of the image.
    """
    scales = {info.radiometry.scales[bands.in_scene[band]] for band in bands.of_model}
    is_one_unit = info.radiometry.declared and len(scales) == 1
    return replace(
        info,
        dtype="float32",
        nodata=float("nan"),
        num_bands=1,
        band_names=("error on the LR grid",),
        radiometry=Radiometry((scales.pop(),), (0.0,)) if is_one_unit else Radiometry.undeclared(1),
    )


@dataclass(frozen=True)
class SideProducts:
    """Files that may be written beside the image.

    Attributes:
        deviation: How far each pixel may be off.
        consistency: How far SR is from LR on its grid.
    """

    deviation: Path | None = None
    consistency: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """Those that are wanted."""
        return [path for path in (self.deviation, self.consistency) if path is not None]

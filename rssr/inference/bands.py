"""Which bands of a raster a model takes."""

from rssr.errors import ModelError
from rssr.models.loaded import LoadedModel

_SENTINEL2 = {"b2": "blue", "b02": "blue", "b3": "green", "b03": "green", "b4": "red", "b04": "red"}
_SENTINEL2 |= {"b8": "nir", "b08": "nir"}
_ALIASES = _SENTINEL2 | {"r": "red", "g": "green", "b": "blue", "near infrared": "nir", "near_infrared": "nir"}


def select_bands(model: LoadedModel, band_names: tuple[str, ...], name: str) -> list[int]:
    """Indices of a raster's bands in the order the model wants them.

    Bands are found by name (Sentinel-2's B02, B03, B04, B08 count as blue, green, red, nir). Where the raster names
    none of them, as many bands as the model takes are taken in order. A model without a card takes everything.

    Args:
        model: The model.
        band_names: Of the raster.
        name: What errors call the raster.

    Raises:
        ModelError: Bands are missing, or cannot be told apart.
    """
    if model.card is None:
        return list(range(len(band_names)))
    wanted = [_plain(band) for band in model.card.bands]
    found = [_plain(band) for band in band_names]
    if all(band in found for band in wanted):
        return [found.index(band) for band in wanted]
    if len(found) == len(wanted) and not set(found) & {*_ALIASES.values()}:
        return list(range(len(found)))
    raise ModelError(
        f"{model.name} takes {len(wanted)} bands ({', '.join(model.card.bands)}); {name} has {len(found)} "
        f"({', '.join(band_names)}).",
        "Choose a model for these bands, or write a raster with the wanted bands and their names.",
    )


def _plain(name: str) -> str:
    lowered = name.strip().lower()
    return _ALIASES.get(lowered, lowered)

"""Scenes of reflectance: which stretch they are shown through, and what their products say of it."""

import json
from typing import TYPE_CHECKING

import numpy as np

from rssr.errors import ModelError
from rssr.inference.radiometric import StoredStretch, of_bands, tells_reflectance
from rssr.inference.values import Values, value_scale
from rssr.sentinel2 import Sentinel2Scene, StretchConfig, canonical_band
from rssr.stretch import Stretch

if TYPE_CHECKING:
    from rssr.inference.files import SceneReader
    from rssr.models.loaded import LoadedModel

USUAL_BANDS = ("B02", "B03", "B04", "B08")


def values_of(
    reader: "SceneReader", bands: list[int], model: "LoadedModel", stretch: StretchConfig | None = None
) -> tuple[Values, dict[str, str]]:
    """How a scene's values are shown to a model, and tags that let anybody turn it round.

    A model of reflectance brings its own stretch. A model of pictures sees reflectance through the usual one, 0 to 0.3
    in visible light, or through the one that is given: nothing is clipped, and the product is what the scene was. A
    scene is reflectance if it is a Sentinel-2 product, or says so by scale and offset and its type is not the model's
    own.

    Args:
        reader: The scene.
        bands: Of the scene, in the model's order.
        model: The model.
        stretch: Physical values (stored * scale + offset, as far as the scene declares these) that become -1 and 1;
            None for none.

    Raises:
        ModelError: The values do not suit the model, or it brings a stretch of its own.
    """
    values = _values(reader, bands, model, stretch)
    tags = {"RSSR_STRETCH": values.to_metadata()} if isinstance(values, Stretch | StoredStretch) else {}
    if isinstance(reader, Sentinel2Scene):
        tags["RSSR_CALIBRATION"] = json.dumps(reader.calibration.describe(), sort_keys=True)
    return values, tags


def _values(reader: "SceneReader", bands: list[int], model: "LoadedModel", stretch: StretchConfig | None) -> Values:
    info, card = reader.info, model.card
    dtype, radiometry = np.dtype(info.dtype), of_bands(info.radiometry, bands)
    names = [canonical_band(info.band_names[band]) or info.band_names[band] for band in bands]
    if card is not None and card.stretch is not None:
        if stretch is not None:
            raise ModelError(f"{card.name} brings a stretch of its own.", "Leave --stretch (stretch=...) out.")
        is_stored = tells_reflectance(radiometry, dtype)
        return StoredStretch(card.stretch, radiometry, dtype) if is_stored else value_scale(card, dtype)
    if stretch is not None:
        return StoredStretch(stretch.over(names), radiometry, dtype)
    if isinstance(reader, Sentinel2Scene):
        return StretchConfig().over(names)
    if card is not None and dtype.name != card.dtype and tells_reflectance(radiometry, dtype):
        return StoredStretch(StretchConfig().over(names), radiometry, dtype)
    return value_scale(card, dtype)


def bands_for(model: "LoadedModel", *, others: bool = False) -> tuple[str, ...]:
    """Sentinel-2's bands that a model takes, in its order; the usual four for a model without a card.

    Args:
        model: The model.
        others: Whether those of the usual four follow that it does not take.
    """
    if model.card is None:
        return USUAL_BANDS
    taken = tuple(canonical_band(band) or band for band in model.card.bands)
    return (*taken, *(band for band in USUAL_BANDS if band not in taken)) if others else taken

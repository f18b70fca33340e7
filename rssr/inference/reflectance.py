"""Scenes of reflectance: which stretch they are shown through, and what their products say of it."""

import json
from typing import TYPE_CHECKING

import numpy as np

from rssr.inference.values import Values, value_scale
from rssr.sentinel2 import Sentinel2Scene, StretchConfig, canonical_band
from rssr.stretch import Stretch

if TYPE_CHECKING:
    from rssr.inference.files import SceneReader
    from rssr.models.loaded import LoadedModel

USUAL_BANDS = ("B02", "B03", "B04", "B08")


def values_of(reader: "SceneReader", bands: list[int], model: "LoadedModel") -> tuple[Values, dict[str, str]]:
    """How a scene's values are shown to a model, and tags that let anybody turn it round.

    A model of reflectance brings its own stretch. A model of pictures sees a Sentinel-2 product through the usual one,
    0 to 0.3 in visible light: nothing is clipped, and the product is reflectance again.

    Args:
        reader: The scene.
        bands: Of the scene, in the model's order.
        model: The model.

    Raises:
        ModelError: The values do not suit the model.
    """
    card = model.card
    if isinstance(reader, Sentinel2Scene) and (card is None or card.stretch is None):
        values: Values = StretchConfig().over([reader.bands[index] for index in bands])
    else:
        values = value_scale(card, np.dtype(reader.info.dtype))
    tags = {"RSSR_STRETCH": values.to_metadata()} if isinstance(values, Stretch) else {}
    if isinstance(reader, Sentinel2Scene):
        tags["RSSR_CALIBRATION"] = json.dumps(reader.calibration.describe(), sort_keys=True)
    return values, tags


def bands_for(model: "LoadedModel") -> tuple[str, ...]:
    """Sentinel-2's bands that a model takes, in its order; the usual four for a model without a card."""
    if model.card is None:
        return USUAL_BANDS
    return tuple(canonical_band(band) or band for band in model.card.bands)

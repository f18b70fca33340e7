"""What a version of a model must show before anybody is served by it: a small picture, super-resolved twice."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.serving.config import SelfTestConfig
from rssr.card import ModelCard
from rssr.errors import RssrError
from rssr.inference import MemoryReader, SceneOptions, SceneRun, TilingOptions
from rssr.inference.planning import plan_draws
from rssr.models.loaded import LoadedModel, load_model
from rssr.raster import Raster
from rssr.tiling import output_size

_SIDE = 32  # LR pixels
_USUAL_BANDS = 3  # of a model without a card
_LOW_REFLECTANCE, _HIGH_REFLECTANCE = 0.02, 0.25


class SelfTestFailed(RssrError):
    """A version is not fit to be served."""


def self_test(model: LoadedModel, scale: float, config: SelfTestConfig) -> None:
    """Run a model on a small smooth picture of the kind its card names.

    Args:
        model: On the device where it shall run.
        scale: That requests usually ask for; the nearest that the card knows is taken.
        config: What is asked for.

    Raises:
        SelfTestFailed: It lacks a card, fails, gives no numbers, another size, another result the second time, or one
            that is far from bicubic interpolation.
    """
    if config.require_card and model.network is not None and model.name != "bicubic" and model.card is None:
        raise SelfTestFailed("It has no card, so images cannot be checked against it.")
    picture, used = golden_picture(model.card), scale_for(model.card, scale)
    first, second = (_resolved(picture, model, used) for _ in range(2))
    wanted = (len(picture), *output_size((_SIDE, _SIDE), used))
    if first.shape != wanted:
        raise SelfTestFailed(f"A picture of {picture.shape} came back as {first.shape} at scale {used:g}.")
    if not np.array_equal(first, second):
        raise SelfTestFailed("The same picture gave two results.")
    if config.min_psnr_db is not None:
        psnr_db = _psnr_db(first, enlarged(picture, load_model("bicubic"), used), _range_of(model.card))
        if psnr_db < config.min_psnr_db:
            raise SelfTestFailed(
                f"A smooth picture came out {psnr_db:.1f} dB from bicubic interpolation; at least "
                f"{config.min_psnr_db:g} dB are asked for."
            )


def golden_picture(card: ModelCard | None) -> NDArray[Any]:
    """A smooth picture [C, 32, 32] of the type and range that a model takes, always the same."""
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE] / (_SIDE - 1)
    num_bands = len(card.bands) if card is not None else _USUAL_BANDS
    waves = [
        0.5 + 0.2 * np.sin(2 * math.pi * (rows + band / 7)) * np.cos(math.pi * columns) + 0.2 * (columns - 0.5)
        for band in range(num_bands)
    ]
    shares = np.stack(waves)
    if card is not None and card.stretch is not None:
        reflectance = _LOW_REFLECTANCE + shares * (_HIGH_REFLECTANCE - _LOW_REFLECTANCE)
        return reflectance.astype(np.float32)
    low, high = card.value_range if card is not None else (0.0, 255.0)
    values = low + shares * (high - low)
    dtype = np.dtype(card.dtype if card is not None else "uint8")
    return np.rint(values).astype(dtype) if np.issubdtype(dtype, np.integer) else values.astype(dtype)


def enlarged(picture: NDArray[Any], model: LoadedModel, scale: float) -> NDArray[Any]:
    """A picture [C, H, W] through a model, as scenes go through it; needs no more of PyTorch than the model does.

    Raises:
        RssrError: The model fails, or does not fit.
    """
    names = tuple(model.card.bands) if model.card is not None else ()
    reader = MemoryReader(Raster(picture, band_names=names))
    options = SceneOptions(TilingOptions(), plan_draws(model, 0, None, with_deviation=False))
    run = SceneRun.prepare(reader, model, scale, options, "the test picture")
    strips = run.engine.run(run.scene, run.plan)
    return np.concatenate([run.scene.values.from_network(strip.values) for strip in strips], axis=1)


def scale_for(card: ModelCard | None, scale: float) -> float:
    """The nearest scale that a model knows."""
    if card is None:
        return scale
    low, high = card.scale_range
    return min(max(scale, low), high)


def _resolved(picture: NDArray[Any], model: LoadedModel, scale: float) -> NDArray[Any]:
    try:
        return enlarged(picture, model, scale)
    except Exception as error:  # whatever it is, the version does not work
        reason = error.problem if isinstance(error, RssrError) else f"{type(error).__name__}: {error}"
        raise SelfTestFailed(f"It failed on a small picture: {reason}") from error


def _psnr_db(one: NDArray[Any], other: NDArray[Any], value_range: float) -> float:
    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(value_range**2 / error)


def _range_of(card: ModelCard | None) -> float:
    if card is not None and card.stretch is not None:
        return _HIGH_REFLECTANCE - _LOW_REFLECTANCE
    low, high = card.value_range if card is not None else (0.0, 255.0)
    return high - low

"""Tiles through a network, as tensors on its device."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rssr.color import match_locally
from rssr.errors import ModelError
from rssr.inference.chosen_model import model_device
from rssr.inference.options import ColorMatching
from rssr.inference.tile_batch import TileBatch
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import DeviationResolver, Draws, SamplingResolver, SuperResolver, TilePlace

FloatArray = NDArray[np.float32]


class TensorTiles:
    """Runs batches of tiles that fit into memory, or says that they do not.

    Args:
        model: The model.
        color_match: How colours are matched, as far as that is done tile by tile.
        with_deviation: Whether the model, a `DeviationResolver`, also says how far it may be off.
        draws: Seed and number of samples, for a model that draws noise.
    """

    def __init__(self, model: LoadedModel, color_match: ColorMatching, with_deviation: bool, draws: Draws) -> None:
        self._model = model
        self._color_match = color_match
        self._with_deviation = with_deviation
        self._draws = draws

    def forward(self, batch: TileBatch, *, matched: bool) -> FloatArray | None:
        """Results of the tiles.

        Args:
            batch: The tiles.
            matched: Whether colours are matched tile by tile, where that is asked for.

        Returns:
            Float32 [B, C, H, W]; deviations, if asked for, are C more bands. None where memory was short.
        """
        try:
            return self._computed(batch, matched=matched)
        except torch.cuda.OutOfMemoryError:
            pass  # what the failed attempt holds is only free once the error is gone
        torch.cuda.empty_cache()
        return None

    def matched_later(self, both: FloatArray, lr: FloatArray) -> FloatArray:
        """A tile that was put together [C, H, W], matched as a whole; `lr` is [1, C, h, w]."""
        sr = torch.from_numpy(both[None, : lr.shape[1]])
        both[: lr.shape[1]] = self._matched(sr, torch.from_numpy(lr))[0].numpy()
        return both

    def _computed(self, batch: TileBatch, *, matched: bool) -> FloatArray:
        with torch.inference_mode():
            lr = torch.from_numpy(np.ascontiguousarray(batch.lr)).to(model_device(self._model))
            sr, deviation = self._resolved(lr, batch.size, batch.places)
            if tuple(sr.shape) != (*batch.lr.shape[:2], *batch.size):
                raise ModelError(
                    f"{self._model.name} returned {tuple(sr.shape)} for {batch.lr.shape} at size {batch.size}."
                )
            parts = [self._matched(sr, lr) if matched else sr, *deviation]
            both = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
            return np.asarray(both.cpu().numpy())

    def _matched(self, sr: Tensor, lr: Tensor) -> Tensor:
        """With the colours of the LR tiles, where that is done tile by tile."""
        if self._color_match == "authors":
            contrast, mean = _contrast_and_mean(sr)
            wanted_contrast, wanted_mean = _contrast_and_mean(lr)
            return (sr - mean) / contrast.clamp_min(1e-6) * wanted_contrast + wanted_mean
        return match_locally(sr, lr) if self._color_match == "local" else sr

    def _resolved(self, lr: Tensor, size: tuple[int, int], places: list[TilePlace]) -> tuple[Tensor, list[Tensor]]:
        """SR images, and their deviations or nothing."""
        resolver: SuperResolver = self._model.resolver
        if isinstance(resolver, SamplingResolver):
            resolver = resolver.placed(places, self._draws)
        if not self._with_deviation:
            return resolver(lr, size).to(torch.float32), []
        if not isinstance(resolver, DeviationResolver):
            raise TypeError(f"{self._model.name} gives no deviation, which check_deviation refuses")
        sr, deviation = resolver.with_deviation(lr, size)
        return sr.to(torch.float32), [deviation.to(torch.float32)]


def _contrast_and_mean(images: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation (as the authors' code, over n - 1 pixels) and mean of each image and band; one pixel has 0."""
    contrast, mean = torch.std_mean(images, dim=(2, 3), keepdim=True, correction=min(1, images[0, 0].numel() - 1))
    return contrast, mean

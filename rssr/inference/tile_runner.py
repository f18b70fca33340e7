"""Tiles through a model, as many together and as large as its memory holds."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rssr.color import match_locally
from rssr.errors import ModelError
from rssr.inference.chosen_model import model_device
from rssr.inference.options import CompleteOptions
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import DeviationResolver, Draws, SamplingResolver, SuperResolver, TilePlace
from rssr.tiling import SrGrid, Tile, blend, plan_tiles

FloatArray = NDArray[np.float32]

_log = logging.getLogger(__name__)

_SMALLEST_TILE = 32  # LR pixels: where these do not fit, nothing does
_HALOS_OF_SMALLEST = 3  # a smaller tile is mostly halo


@dataclass
class TileCounts:
    """What became of tiles so far.

    Attributes:
        num_tiles: All of them.
        num_skipped: Without a single valid pixel; the model did not see them.
        num_splits: How often a batch or a tile was halved because the accelerator's memory was short.
        num_smaller_tiles: Tiles that were put together from smaller ones therefore: their pixels differ a little.
    """

    num_tiles: int = 0
    num_skipped: int = 0
    num_splits: int = 0
    num_smaller_tiles: int = 0

    def __add__(self, other: "TileCounts") -> "TileCounts":
        """Of both together."""
        return TileCounts(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(self)))


@dataclass(frozen=True, eq=False)
class TileBatch:
    """Tiles of one shape.

    Attributes:
        lr: Values as networks see them, float32 [B, C, h, w].
        size: (H, W) of the results.
        places: Where each lies in its scene.
        count: How many shall run together.
        grid: Where smaller tiles may begin in them; None: anywhere.
    """

    lr: FloatArray
    size: tuple[int, int]
    places: list[TilePlace]
    count: int
    grid: SrGrid | None = None

    @property
    def side(self) -> int:
        """The longer side of a tile, LR pixels."""
        return int(max(self.lr.shape[2:]))

    def filled_up(self) -> "TileBatch":
        """With the last tile repeated until there are `count`."""
        missing = self.count - len(self.lr)
        if missing <= 0:
            return self
        lr = np.concatenate([self.lr, np.repeat(self.lr[-1:], missing, axis=0)])
        return replace(self, lr=lr, places=[*self.places, *[self.places[-1]] * missing])

    def parts(self, count: int) -> list["TileBatch"]:
        """The same tiles, `count` at a time."""
        starts = range(0, len(self.lr), count)
        parts = [slice(start, start + count) for start in starts]
        return [replace(self, lr=self.lr[part], places=self.places[part], count=count) for part in parts]

    def within(self, tile: Tile, usual_rows: int) -> "TileBatch":
        """A part of the first tile."""
        place = self.places[0]
        lr, sr = (place.lr_origin, tile.lr), (place.sr_origin, tile.sr)
        origins = [tuple(start + part.start for start, part in zip(*axis, strict=True)) for axis in (lr, sr)]
        inner = replace(place, lr_origin=origins[0], sr_origin=origins[1], usual_rows=usual_rows)
        return TileBatch(self.lr[:1, :, *tile.lr], tile.sr_size, [inner], 1)


class RunsTiles(Protocol):
    """Runs batches of tiles through a model."""

    @property
    def batch_size(self) -> int:
        """Tiles at a time on an accelerator, by now."""
        ...

    def run(self, batch: TileBatch, counts: TileCounts) -> list[FloatArray]:
        """See `TileRunner.run`."""
        ...


MakeRunner = Callable[[LoadedModel, CompleteOptions, bool, Draws], RunsTiles]
"""From a model, how tiles were cut, whether deviations are wanted, and what is drawn, to what runs tiles."""


class TileRunner:
    """Runs batches of tiles.

    Where the accelerator's memory is short, batches are halved; where one tile is too large, it is put together from
    smaller ones with the same halos. Both are remembered for later tiles.

    Args:
        model: The model.
        options: How tiles were cut and how colours are matched.
        with_deviation: Whether the model, a `DeviationResolver`, also says how far it may be off.
        draws: Seed and number of samples, for a model that draws noise.

    Attributes:
        batch_size: Tiles at a time.
    """

    def __init__(self, model: LoadedModel, options: CompleteOptions, with_deviation: bool, draws: Draws) -> None:
        self._model = model
        self._options = options
        self._with_deviation = with_deviation
        self._draws = draws
        self.batch_size = options.batch_size
        self._largest: int | None = None

    def run(self, batch: TileBatch, counts: TileCounts) -> list[FloatArray]:
        """Run a batch.

        Returns:
            Of each tile float32 [C, H, W], colours matched tile by tile where that is asked for; deviations, if asked
            for, are C more bands.

        Raises:
            ModelError: Memory is too short even for small tiles, or results are of the wrong size or no numbers.
        """
        if self._largest is not None and batch.side > self._largest:
            return [self._from_smaller(part, counts) for part in batch.parts(1)]
        if batch.count > self.batch_size:
            return [result for part in batch.parts(self.batch_size) for result in self.run(part, counts)]
        results = self._forward(batch)
        if results is not None:
            return results
        counts.num_splits += 1
        if batch.count == 1:
            self._take_smaller(batch)
        else:
            self.batch_size = (batch.count + 1) // 2
            _log.warning("Accelerator memory is short: going on with %d tiles at a time.", self.batch_size)
        return self.run(batch, counts)

    def _from_smaller(self, tile: TileBatch, counts: TileCounts) -> FloatArray:
        """A tile's result from smaller ones inside it."""
        counts.num_smaller_tiles += 1
        while True:
            result = self._blended(tile)
            if result is not None:
                return self._matched_later(result, tile.lr)
            counts.num_splits += 1
            self._take_smaller(tile)

    def _blended(self, tile: TileBatch) -> FloatArray | None:
        """Not matched; None where memory was short again."""
        largest = tile.side if self._largest is None else self._largest
        plan = plan_tiles((tile.lr.shape[2], tile.lr.shape[3]), tile.size, largest, self._options.halo, tile.grid)
        rows = round(largest * tile.size[0] / tile.lr.shape[2])
        usual_rows = min(tile.places[0].usual_rows or tile.size[0], rows)
        pieces = []
        for part in plan.tiles:
            results = self._forward(tile.within(part, usual_rows), matched=False)
            if results is None:
                return None
            pieces += results
        return np.concatenate([strip for _, strip in blend(plan, pieces)], axis=1)

    def _take_smaller(self, batch: TileBatch) -> None:
        """Go on with smaller tiles.

        Raises:
            ModelError: They would be too small, or the model cannot be run in smaller ones.
        """
        side = min(batch.side, self._largest or batch.side)
        smallest = max(_SMALLEST_TILE, _HALOS_OF_SMALLEST * self._options.halo)
        if batch.grid is not None:
            smallest = max(smallest, 2 * self._options.halo + batch.grid.lr_spacing)
        stays_whole = batch.grid is None and isinstance(self._model.resolver, SamplingResolver)
        if stays_whole or smallest >= side:
            raise ModelError(
                f"The accelerator's memory is too small for one tile of {side} LR pixels a side.",
                "Give a smaller tile size (--tile-size, tile_size=...), and halo if need be; see whether others use it "
                "too; or run on the CPU: --device cpu (device='cpu').",
            )
        self._largest = max(smallest, side // 2)
        _log.warning(
            "Accelerator memory is too short for a tile of %d LR pixels a side: going on with %d. Pixels differ a "
            "little from those of whole tiles, as the product's tags say.",
            side,
            self._largest,
        )

    def _forward(self, batch: TileBatch, *, matched: bool = True) -> list[FloatArray] | None:
        """Results of the tiles; None where memory was short."""
        try:
            return self._computed(batch, matched=matched)
        except torch.cuda.OutOfMemoryError:
            pass  # what the failed attempt holds is only free once the error is gone
        torch.cuda.empty_cache()
        return None

    def _computed(self, batch: TileBatch, *, matched: bool) -> list[FloatArray]:
        batch, num_wanted = batch.filled_up(), len(batch.lr)
        with torch.inference_mode():
            lr = torch.from_numpy(np.ascontiguousarray(batch.lr)).to(model_device(self._model))
            sr, deviation = self._resolved(lr, batch.size, batch.places)
            if tuple(sr.shape) != (*batch.lr.shape[:2], *batch.size):
                raise ModelError(
                    f"{self._model.name} returned {tuple(sr.shape)} for {batch.lr.shape} at size {batch.size}."
                )
            parts = [self._matched(sr, lr) if matched else sr, *deviation]
            both = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
            return [self._finite(result) for result in both[:num_wanted].cpu().numpy()]

    def _matched(self, sr: Tensor, lr: Tensor) -> Tensor:
        """With the colours of the LR tiles, where that is done tile by tile."""
        if self._options.color_match == "authors":
            contrast, mean = _contrast_and_mean(sr)
            wanted_contrast, wanted_mean = _contrast_and_mean(lr)
            return (sr - mean) / contrast.clamp_min(1e-6) * wanted_contrast + wanted_mean
        return match_locally(sr, lr) if self._options.color_match == "local" else sr

    def _matched_later(self, both: FloatArray, lr: FloatArray) -> FloatArray:
        """A tile that was put together, matched as a whole."""
        sr = torch.from_numpy(both[None, : lr.shape[1]])
        both[: lr.shape[1]] = self._matched(sr, torch.from_numpy(lr))[0].numpy()
        return both

    def _finite(self, result: FloatArray) -> FloatArray:
        """The result, which would carry anything else into its neighbours."""
        with np.errstate(all="ignore"):
            is_finite = np.isfinite(result.sum()) or np.isfinite(result).all()
        if not is_finite:
            raise ModelError(
                f"{self._model.name} returned values that are NaN or infinite.",
                "Run it without reduced precision (--fast), or check its weights.",
            )
        return result

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

"""Tiles through a model, as many together and as large as its memory holds."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rssr.errors import ModelError
from rssr.inference.options import CompleteOptions
from rssr.inference.tile_batch import TileBatch
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import ArrayResolver, Draws, SamplingResolver
from rssr.tiling import blend, plan_tiles

if TYPE_CHECKING:  # models that take arrays need no PyTorch, which takes long to load
    from rssr.inference.tile_tensors import TensorTiles

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
                return self._tensors.matched_later(result, tile.lr)
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
        """Results of the tiles, each float32 [C, H, W]; None where memory was short.

        Raises:
            ModelError: They are of the wrong size, or no numbers.
        """
        resolver = self._model.resolver
        if isinstance(resolver, ArrayResolver) and not self._needs_tensors:
            both = resolver.of_arrays(np.ascontiguousarray(batch.lr), batch.size)
            return [self._finite(result) for result in both]
        found = self._tensors.forward(batch.filled_up(), matched=matched)
        return None if found is None else [self._finite(result) for result in found[: len(batch.lr)]]

    @property
    def _needs_tensors(self) -> bool:
        """Whether something is done to tiles that arrays are not enough for."""
        return self._with_deviation or self._options.color_match in ("authors", "local")

    @cached_property
    def _tensors(self) -> "TensorTiles":
        from rssr.inference.tile_tensors import TensorTiles

        return TensorTiles(self._model, self._options.color_match, self._with_deviation, self._draws)

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

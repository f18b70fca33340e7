"""From LR values, tile by tile through a model, to SR rows."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rssr.color import BandStatistics, ColorMatch, match_colors, match_locally
from rssr.errors import ConfigError, ModelError
from rssr.inference.chosen_model import model_device
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import DeviationResolver, Draws, SamplingResolver, SuperResolver, TilePlace
from rssr.tiling import Tile, TilePlan, blend

if TYPE_CHECKING:
    from rssr.card import ModelCard

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]
ColorMatching = Literal["none", "scene", "local", "authors"]

_log = logging.getLogger(__name__)

_DEFAULT_TILE_SIZE = 256  # LR pixels, for models without a card
_DEFAULT_HALO = 16
_SAMPLED_TILES = 64  # for the colour statistics of scenes too large to keep


@dataclass(frozen=True)
class TilingOptions:
    """How a scene is run; None takes the model card's value.

    Attributes:
        tile_size: Largest side of a tile with its halos, LR pixels.
        halo: Context on each side of a tile, LR pixels.
        color_match: `none`; `scene`: mean and deviation, once for the whole scene; `local`: whatever varies slowly,
            place by place and without seams; `authors`: mean and deviation, a tile at a time, as the authors of
            SlimDiffSR do with whole images, which makes seams between tiles.
        batch_size: Tiles at a time; halved as often as needed when the accelerator's memory is short.
    """

    tile_size: int | None = None
    halo: int | None = None
    color_match: ColorMatching | None = None
    batch_size: int = 4

    def completed(self, card: "ModelCard | None") -> "CompleteOptions":
        """Fill what is open from the card."""
        tile_size = self.tile_size or (card.tile_size if card else _DEFAULT_TILE_SIZE)
        halo = self.halo if self.halo is not None else (card.halo if card else _DEFAULT_HALO)
        if self.halo is None and tile_size <= 4 * halo:
            halo = max(0, (tile_size - 1) // 4)  # a smaller tile was asked for, not a smaller share of it
        matching = self.color_match or (card.color_match if card else "none")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}.", "Give at least 1.")
        return CompleteOptions(tile_size, halo, matching, self.batch_size, may_grow=self.tile_size is None)


class TilingArguments(TypedDict, total=False):
    """The fields of `TilingOptions`, as keyword arguments."""

    tile_size: int | None
    halo: int | None
    color_match: ColorMatching | None
    batch_size: int


class SamplingArguments(TilingArguments, total=False):
    """How an image is cut, and what models that draw noise (LDCSR, LCMSR) draw.

    Attributes:
        seed: The same seed gives the same image; by default 0.
        num_samples: How many results are averaged, and how many tell the deviation. None: one, or eight where a
            deviation is wanted.
    """

    seed: int
    num_samples: int | None


@dataclass(frozen=True)
class CompleteOptions:
    """`TilingOptions` with nothing left open.

    Attributes:
        tile_size: As there; likewise those below.
        halo: Context.
        color_match: Colours.
        batch_size: Tiles at a time.
        may_grow: Whether tiles may be larger where a scale needs it: nobody asked for this size.
    """

    tile_size: int
    halo: int
    color_match: ColorMatching
    batch_size: int
    may_grow: bool = False


class LrScene(Protocol):
    """A scene that can be read a part at a time."""

    def read(self, part: tuple[slice, slice]) -> tuple[FloatArray, Mask]:
        """Values as networks see them, float32 [C, h, w], and which are real, bool [h, w]."""
        ...


class SrRows(NamedTuple):
    """Finished rows of a scene, over its full width.

    Attributes:
        first: Number of the first row.
        values: float32 [C, rows, W], about [-1, 1].
        deviation: How far the values may be off (half-width that holds 68 % of errors), float32 [C, rows, W] in network
            units; None where it was not asked for.
    """

    first: int
    values: FloatArray
    deviation: FloatArray | None

    def matched(self, match: ColorMatch) -> "SrRows":
        """With other colours. The deviation stays: what matching adds to or takes from an error is not known."""
        return SrRows(self.first, match.apply(self.values), self.deviation)


@dataclass
class Engine:
    """Runs one model over scenes.

    Attributes:
        model: The model.
        options: How to cut and match.
        with_deviation: Whether the model, a `DeviationResolver`, also says how far it may be off.
        draws: Seed and number of samples, for a model that draws noise.
        num_skipped_tiles: Tiles without a single valid pixel so far; the model did not see them.
        num_tiles: Tiles so far.
    """

    model: LoadedModel
    options: CompleteOptions
    with_deviation: bool = False
    draws: Draws = field(default_factory=Draws)
    num_tiles: int = field(default=0, init=False)
    num_skipped_tiles: int = field(default=0, init=False)

    def run(self, scene: LrScene, plan: TilePlan, *, keep: bool) -> Iterator[SrRows]:
        """Super-resolve a scene.

        Args:
            scene: Where LR values come from.
            plan: How it is cut.
            keep: Whether the whole result fits in memory. Scene-wide colour matching is then exact; otherwise its
                statistics come from evenly spread tiles.

        Yields:
            Rows from top to bottom.
        """
        strips = (self._parted(first, strip) for first, strip in blend(plan, self._results(scene, plan, plan.tiles)))
        if self.options.color_match != "scene":
            yield from strips
            return
        if keep or len(plan) <= _SAMPLED_TILES:
            kept = list(strips)
            match = self._match_whole(scene, plan, kept)
            yield from (strip.matched(match) for strip in kept)
        else:
            match = self._match_sample(scene, plan)
            yield from (strip.matched(match) for strip in strips)

    def _parted(self, first: int, both: FloatArray) -> SrRows:
        """Values and deviations, which go through blending as one."""
        num_bands = both.shape[0] // 2 if self.with_deviation else both.shape[0]
        return SrRows(first, both[:num_bands], both[num_bands:] if self.with_deviation else None)

    def _match_whole(self, scene: LrScene, plan: TilePlan, strips: list[SrRows]) -> ColorMatch:
        lr, mask = scene.read((slice(0, plan.lr_size[0]), slice(0, plan.lr_size[1])))
        lr_statistics, sr_statistics = BandStatistics(lr.shape[0]), BandStatistics(lr.shape[0])
        lr_statistics.add(lr, mask)
        sr_mask = enlarge_mask(mask, plan.sr_size)
        for row, values, _ in strips:
            sr_statistics.add(values, sr_mask[row : row + values.shape[1]])
        return match_colors(sr_statistics, lr_statistics)

    def _match_sample(self, scene: LrScene, plan: TilePlan) -> ColorMatch:
        picked = [tile for index, tile in enumerate(plan.tiles) if index % -(-len(plan) // _SAMPLED_TILES) == 0]
        num_bands = scene.read((slice(0, 1), slice(0, 1)))[0].shape[0]
        lr_statistics, sr_statistics = BandStatistics(num_bands), BandStatistics(num_bands)
        for tile, sr in zip(picked, self._results(scene, plan, iter(picked)), strict=True):
            lr, mask = scene.read(tile.lr)
            lr_statistics.add(lr, mask)
            sr_statistics.add(self._parted(0, sr).values, enlarge_mask(mask, tile.sr_size))
        return match_colors(sr_statistics, lr_statistics)

    def _results(self, scene: LrScene, plan: TilePlan, tiles: Iterator[Tile]) -> Iterator[FloatArray]:
        """SR values of each tile in order, then their deviations if asked for; tiles of one shape share a batch."""
        waiting: list[tuple[Tile, FloatArray | None]] = []
        for tile in tiles:
            values, mask = scene.read(tile.lr)
            lr = filled(values, mask) if mask.any() else None
            self.num_tiles += 1
            self.num_skipped_tiles += lr is None
            if waiting and (len(waiting) >= self.options.batch_size or not _same_shape(waiting[0][0], tile)):
                yield from self._run_batch(waiting, values.shape[0], plan)
                waiting = []
            waiting.append((tile, lr))
        if waiting:
            yield from self._run_batch(waiting, values.shape[0], plan)

    def _run_batch(
        self, batch: list[tuple[Tile, FloatArray | None]], num_bands: int, plan: TilePlan
    ) -> Iterator[FloatArray]:
        size = batch[0][0].sr_size
        present = [lr for _, lr in batch if lr is not None]
        places = [_place(tile, plan) for tile, lr in batch if lr is not None]
        results = iter(self._super_resolve(np.stack(present), size, places) if present else [])
        for _, lr in batch:
            yield np.zeros(((1 + self.with_deviation) * num_bands, *size), np.float32) if lr is None else next(results)

    def _super_resolve(self, lr: FloatArray, size: tuple[int, int], places: list[TilePlace]) -> list[FloatArray]:
        """Run [B, C, h, w]; on short accelerator memory in halves."""
        try:
            return self._forward(lr, size, places)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
        if len(lr) == 1:
            raise ModelError(
                f"The accelerator's memory is too small for one tile of {lr.shape[2]}x{lr.shape[3]} LR pixels.",
                "Give a smaller tile size.",
            )
        half = (len(lr) + 1) // 2
        self.options = replace(self.options, batch_size=half)
        _log.warning("Accelerator memory is short: going on with %d tiles at a time.", half)
        parts = (slice(None, half), slice(half, None))
        return [result for part in parts for result in self._super_resolve(lr[part], size, places[part])]

    def _forward(self, lr: FloatArray, size: tuple[int, int], places: list[TilePlace]) -> list[FloatArray]:
        with torch.inference_mode():
            tensor = torch.from_numpy(lr).to(model_device(self.model))
            sr, deviation = self._resolve(tensor, size, places)
            if tuple(sr.shape) != (*lr.shape[:2], *size):
                raise ModelError(f"{self.model.name} returned {tuple(sr.shape)} for {lr.shape} at size {size}.")
            if self.options.color_match == "authors":
                contrast, mean = _contrast_and_mean(sr)
                wanted_contrast, wanted_mean = _contrast_and_mean(tensor)
                sr = (sr - mean) / contrast.clamp_min(1e-6) * wanted_contrast + wanted_mean
            elif self.options.color_match == "local":
                sr = match_locally(sr, tensor)
            return list(torch.cat([sr, *deviation], dim=1).cpu().numpy())

    def _resolve(self, lr: Tensor, size: tuple[int, int], places: list[TilePlace]) -> tuple[Tensor, list[Tensor]]:
        """SR images, and their deviations or nothing."""
        resolver: SuperResolver = self.model.resolver
        if isinstance(resolver, SamplingResolver):
            resolver = resolver.placed(places, self.draws)
        if not self.with_deviation:
            return resolver(lr, size).to(torch.float32), []
        if not isinstance(resolver, DeviationResolver):
            raise TypeError(f"{self.model.name} gives no deviation, which check_deviation refuses")
        sr, deviation = resolver.with_deviation(lr, size)
        return sr.to(torch.float32), [deviation.to(torch.float32)]


def _place(tile: Tile, plan: TilePlan) -> TilePlace:
    first = plan.rows[0].sr
    return TilePlace(
        (tile.rows.lr[0], tile.columns.lr[0]),
        (tile.rows.sr[0], tile.columns.sr[0]),
        plan.lr_size,
        plan.sr_size,
        first[1] - first[0],
    )


def enlarge_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """The LR mask at SR size: each SR pixel takes the LR pixel that its centre lies in."""
    rows, columns = (nearest_lr(lr, sr) for lr, sr in zip(mask.shape, size, strict=True))
    enlarged: Mask = mask[rows[:, None], columns]
    return enlarged


def nearest_lr(lr_length: int, sr_length: int) -> NDArray[np.intp]:
    """For each SR pixel along an axis, the LR pixel that its centre lies in."""
    return np.minimum(((np.arange(sr_length) + 0.5) * lr_length / sr_length).astype(np.intp), lr_length - 1)


def filled(values: FloatArray, mask: Mask) -> FloatArray:
    """Holes take the value of the nearest valid pixel, so that the model sees no cliffs.

    Args:
        values: [C, h, w].
        mask: Bool [h, w] with at least one valid pixel.
    """
    if mask.all():
        return values
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~mask, return_distances=False, return_indices=True)
    whole: FloatArray = values[:, nearest[0], nearest[1]]
    return whole


def _contrast_and_mean(images: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation (as the authors' code, over n - 1 pixels) and mean of each image and band; one pixel has 0."""
    contrast, mean = torch.std_mean(images, dim=(2, 3), keepdim=True, correction=min(1, images[0, 0].numel() - 1))
    return contrast, mean


def _same_shape(one: Tile, other: Tile) -> bool:
    return one.sr_size == other.sr_size and all(
        first.stop - first.start == second.stop - second.start for first, second in zip(one.lr, other.lr, strict=True)
    )

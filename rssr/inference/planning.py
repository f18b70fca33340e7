"""How a scene is cut for a model, and how its noise is drawn."""

import logging
from fractions import Fraction

from rssr.errors import ModelError
from rssr.inference.options import CompleteOptions
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import Draws, SamplingResolver
from rssr.tiling import SrGrid, TilePlan, output_size, plan_tiles

_log = logging.getLogger(__name__)

_LARGEST_DENOMINATOR = 20  # of a scale at which scenes are cut for latent networks
_SCALE_SLACK = 1e-9
_USUAL_SAMPLES = 8  # for a deviation


def plan_scene(model: LoadedModel, lr_size: tuple[int, int], scale: float, options: CompleteOptions) -> TilePlan:
    """Cut a scene so that a model can run its tiles.

    Tiles of latent networks begin where whole LR pixels are whole latent positions. A scale that is no fraction with a
    denominator of up to 20 has no such places: where the scene does not fit into one tile, the nearest such fraction
    takes its place, with a warning. Tiles of the card's size grow where such places lie farther apart.

    Args:
        model: The model.
        lr_size: (H, W) of the scene, LR pixels.
        scale: Enlargement of each side.
        options: How to cut.

    Raises:
        ConfigError: The tiles are too small.
    """
    whole = output_size(lr_size, scale)
    if not isinstance(model.resolver, SamplingResolver):
        return plan_tiles(lr_size, whole, options.tile_size, options.halo)
    exact = _nearest_fraction(model, scale)
    is_exact, grid = abs(float(exact) - scale) <= _SCALE_SLACK, SrGrid(model.resolver.sr_grid, exact)
    if max(lr_size) <= options.tile_size:
        return plan_tiles(lr_size, whole, options.tile_size, options.halo, grid if is_exact else None)
    if not is_exact:
        _log.warning(
            "%s cuts scenes at scales such as 17/5 (x3.4) only: x%g becomes %s (x%.6g). A tile size of %d or more "
            "keeps this scene in one piece, at the scale as it is.",
            model.name,
            scale,
            exact,
            float(exact),
            max(lr_size),
        )
        whole = output_size(lr_size, float(exact))
    tile_size = options.tile_size
    if options.may_grow:
        tile_size = max(tile_size, 2 * options.halo + grid.lr_spacing)
    return plan_tiles(lr_size, whole, tile_size, options.halo, grid)


def plan_draws(model: LoadedModel, seed: int, num_samples: int | None, *, with_deviation: bool) -> Draws:
    """Seed and number of samples of a run.

    Args:
        model: The model.
        seed: Not negative.
        num_samples: None: one, or eight where a deviation is wanted.
        with_deviation: Whether it is.

    Raises:
        ModelError: The model draws nothing, so samples would be equal; or one sample shall give a deviation.
    """
    samples = isinstance(model.resolver, SamplingResolver)
    if seed < 0:
        raise ModelError(f"The seed is {seed}.", "Give 0 or more.")
    if num_samples is None:
        return Draws(seed, _USUAL_SAMPLES if samples and with_deviation else 1)
    if num_samples < 1:
        raise ModelError(f"{num_samples} samples were asked for.", "Give 1 or more.")
    if num_samples > 1 and not samples:
        raise ModelError(
            f"{model.name} draws no random numbers: {num_samples} samples would be equal.",
            "Leave num_samples out, or choose a model that samples, such as ldcsr or lcmsr.",
        )
    if num_samples == 1 and samples and with_deviation:
        raise ModelError(
            f"One sample of {model.name} shows no deviation.", "Give num_samples of 2 or more; 8 is usual."
        )
    return Draws(seed, num_samples)


def _nearest_fraction(model: LoadedModel, scale: float) -> Fraction:
    """Within the card's range of scales, which a rounded one might leave."""
    nearest = Fraction(scale).limit_denominator(_LARGEST_DENOMINATOR)
    if model.card is None:
        return max(nearest, Fraction(1))
    low, high = (Fraction(bound).limit_denominator(_LARGEST_DENOMINATOR) for bound in model.card.scale_range)
    return min(max(nearest, low), high)

"""Pictures in memory of whatever kind, super-resolved to the same kind."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Unpack, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rssr.errors import ImageError
from rssr.inference.chosen_model import check_bands, check_deviation, check_scale, resolve_model
from rssr.inference.engine import Engine, FloatArray, Mask
from rssr.inference.options import SamplingArguments, TilingArguments, TilingOptions
from rssr.inference.planning import plan_draws, plan_scene
from rssr.inference.values import check_values, value_scale
from rssr.models.loaded import LoadedModel
from rssr.models.resolver import Draws

ImageT = TypeVar("ImageT", NDArray[Any], Tensor, Image.Image)
ArrayOrPictureT = TypeVar("ArrayOrPictureT", NDArray[Any], Image.Image)

_MOST_BANDS = 16  # an axis at least this long is height or width, not bands


class ArrayScene:
    """An LR scene in memory, as networks see it."""

    def __init__(self, values: FloatArray, valid_mask: Mask) -> None:
        self._values = values
        self._mask = valid_mask

    def read(self, part: tuple[slice, slice]) -> tuple[FloatArray, Mask]:
        """See `LrScene`."""
        return self._values[:, part[0], part[1]], self._mask[part]


@overload
def super_resolve(
    image: ImageT,
    model: LoadedModel | str | Path,
    scale: float,
    *,
    device: str | torch.device | None = None,
    return_uncertainty: Literal[False] = False,
    **options: Unpack[SamplingArguments],
) -> ImageT: ...


@overload
def super_resolve(
    image: Tensor,
    model: LoadedModel | str | Path,
    scale: float,
    *,
    device: str | torch.device | None = None,
    return_uncertainty: Literal[True],
    **options: Unpack[SamplingArguments],
) -> tuple[Tensor, Tensor]: ...


@overload
def super_resolve(
    image: ArrayOrPictureT,
    model: LoadedModel | str | Path,
    scale: float,
    *,
    device: str | torch.device | None = None,
    return_uncertainty: Literal[True],
    **options: Unpack[SamplingArguments],
) -> tuple[ArrayOrPictureT, FloatArray]: ...


def super_resolve(
    image: NDArray[Any] | Tensor | Image.Image,
    model: LoadedModel | str | Path,
    scale: float,
    *,
    device: str | torch.device | None = None,
    return_uncertainty: bool = False,
    **options: Unpack[SamplingArguments],
) -> Any:
    """Super-resolve a picture in memory.

    Args:
        image: A NumPy array [C, H, W], [H, W, C] or [H, W]; where both readings are possible, bands come first. A
            PyTorch tensor [C, H, W] or [B, C, H, W]. A Pillow image in RGB. Whole numbers must be of the type the
            model was trained on (its card says which); floating-point values are fractions 0 to 1, or the card's own
            units where it was trained on floating-point values.
        model: A loaded model, a name such as `bicubic`, a model folder or a URI.
        scale: Enlargement of each side; results are rounded to whole pixels.
        device: Where to run. None: where the model is, or an accelerator if there is one.
        return_uncertainty: Also return how far each pixel and band may be off; needs a model that was taught to say
            so, such as a SlimDiffSR student after the phase `deviation`, or one whose samples differ (LDCSR, LCMSR).
        **options: Fields of `TilingOptions` (tile_size, halo, color_match, batch_size), by default as the card says;
            seed and num_samples, see `SamplingArguments`.

    Returns:
        The same kind of object with the same type, layout and device. With `return_uncertainty` a pair: that, and the
        expected deviation (half-width that holds 68 % of errors) as float32 in the image's own units, e.g. grey levels
        of 255 for 8-bit images. It is an array of the image's layout, for a Pillow picture [H, W, 3]. For a tensor it
        is a tensor. It was fitted to errors without colour matching, and is the same with it.

    Raises:
        ImageError: The array's shape or the picture's mode cannot be used.
        ModelError: The model does not fit the bands, the type, the values or the scale, or gives no uncertainty.
    """
    run = _planned(resolve_model(model, device), scale, options, with_deviation=return_uncertainty)
    if isinstance(image, Image.Image):
        pixels, *deviation = (np.ascontiguousarray(part.transpose(1, 2, 0)) for part in run(_picture_bands(image)))
        results: list[Any] = [Image.fromarray(pixels), *deviation]
    elif isinstance(image, Tensor):
        results = _super_resolve_tensor(image, run)
    else:
        results = _super_resolve_array(np.asarray(image), run)
    return (results[0], results[1]) if return_uncertainty else results[0]


def _planned(model: LoadedModel, scale: float, options: SamplingArguments, *, with_deviation: bool) -> "ArrayRun":
    check_scale(model, scale)
    if with_deviation:
        check_deviation(model)
    seed, num_samples = options.pop("seed", 0), options.pop("num_samples", None)
    draws = plan_draws(model, seed, num_samples, with_deviation=with_deviation)
    tiling: TilingArguments = {**options}  # type: ignore[typeddict-unknown-key]  # what is left after the pops above
    return ArrayRun(model, scale, TilingOptions(**tiling), with_deviation, draws)


@dataclass(frozen=True)
class ArrayRun:
    """What is done to every image of a call.

    Attributes:
        model: The model.
        scale: Enlargement of each side.
        options: How to cut and match.
        with_deviation: Whether the deviation is wanted too.
        draws: Seed and number of samples.
    """

    model: LoadedModel
    scale: float
    options: TilingOptions
    with_deviation: bool
    draws: Draws = field(default_factory=Draws)

    def __call__(self, bands: NDArray[Any]) -> list[NDArray[Any]]:
        """Super-resolve [C, H, W]: the SR image of the same type, then its float32 deviation if wanted."""
        self._check(bands)
        values = value_scale(self.model.card, bands.dtype)
        complete = self.options.completed(self.model.card)
        lr_size = int(bands.shape[1]), int(bands.shape[2])
        plan = plan_scene(self.model, lr_size, self.scale, complete)
        scene = ArrayScene(values.to_network(bands), np.ones(lr_size, np.bool_))
        size = (bands.shape[0], *plan.sr_size)
        results: list[NDArray[Any]] = [np.empty(size, bands.dtype)]
        results += [np.empty(size, np.float32)] if self.with_deviation else []
        for strip in Engine(self.model, complete, self.with_deviation, self.draws).run(scene, plan):
            rows = slice(strip.first, strip.first + strip.values.shape[1])
            results[0][:, rows] = values.from_network(strip.values)
            if strip.deviation is not None:
                results[1][:, rows] = values.deviation_from_network(strip.deviation)
        return results

    def _check(self, bands: NDArray[Any]) -> None:
        if min(bands.shape) < 1:
            raise ImageError(f"An image of shape {list(bands.shape)} has no pixels.")
        if bands.dtype.kind not in "uif":
            raise ImageError(f"Values of type {bands.dtype} are not brightness.", "Give whole or decimal numbers.")
        check_bands(self.model, bands.shape[0])
        check_values(bands, self.model.card)


def _super_resolve_tensor(image: Tensor, run: ArrayRun) -> list[Tensor]:
    if image.ndim not in (3, 4):
        raise ImageError(f"A tensor of shape {list(image.shape)} is neither [C, H, W] nor [B, C, H, W].")
    array = image.detach().cpu()
    values = array.float().numpy() if array.dtype in (torch.float16, torch.bfloat16) else array.numpy()
    batch = values if image.ndim == 4 else values[None]
    parts = [torch.from_numpy(np.stack(part)) for part in zip(*map(run, batch), strict=True)]
    sr, *deviation = (part.to(image.device) if image.ndim == 4 else part[0].to(image.device) for part in parts)
    return [sr.to(image.dtype), *deviation]


def _super_resolve_array(image: NDArray[Any], run: ArrayRun) -> list[NDArray[Any]]:
    if image.ndim == 2:
        return [part[0] for part in run(image[None])]
    if image.ndim != 3:
        raise ImageError(f"An array of shape {list(image.shape)} is neither [C, H, W], [H, W, C] nor [H, W].")
    if _bands_come_first(image.shape, len(run.model.card.bands) if run.model.card else None):
        return run(image)
    return [np.ascontiguousarray(part.transpose(1, 2, 0)) for part in run(image.transpose(2, 0, 1))]


def _bands_come_first(shape: tuple[int, ...], num_bands: int | None) -> bool:
    if num_bands is not None:
        return shape[0] == num_bands or shape[2] != num_bands
    return shape[0] <= _MOST_BANDS or shape[2] > _MOST_BANDS


def _picture_bands(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode not in ("RGB", "L"):
        raise ImageError(f"A picture of mode {image.mode} is not red, green, blue.", 'Use image.convert("RGB").')
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)

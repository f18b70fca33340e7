"""Pictures in memory of whatever kind, super-resolved to the same kind."""

from pathlib import Path
from typing import Any, TypeVar, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rssr.errors import ImageError, ModelError
from rssr.inference.chosen_model import check_scale, resolve_model
from rssr.inference.engine import Engine, FloatArray, Mask, TilingArguments, TilingOptions
from rssr.inference.values import check_values, value_scale
from rssr.models.loaded import LoadedModel
from rssr.tiling import output_size, plan_tiles

ImageT = TypeVar("ImageT", NDArray[Any], Tensor, Image.Image)

_MOST_BANDS = 16  # an axis at least this long is height or width, not bands


class ArrayScene:
    """An LR scene in memory, as networks see it."""

    def __init__(self, values: FloatArray, valid_mask: Mask) -> None:
        self._values = values
        self._mask = valid_mask

    def read(self, part: tuple[slice, slice]) -> tuple[FloatArray, Mask]:
        """See `LrScene`."""
        return self._values[:, part[0], part[1]], self._mask[part]


def super_resolve(
    image: ImageT,
    model: LoadedModel | str | Path,
    scale: float,
    *,
    device: str | torch.device | None = None,
    **tiling: Unpack[TilingArguments],
) -> ImageT:
    """Super-resolve a picture in memory.

    Args:
        image: A NumPy array [C, H, W], [H, W, C] or [H, W]; where both readings are possible, bands come first. A
            PyTorch tensor [C, H, W] or [B, C, H, W]. A Pillow image in RGB. Whole numbers must be of the type the
            model was trained on (its card says which); floating-point values are fractions 0 to 1, or the card's own
            units where it was trained on floating-point values.
        model: A loaded model, a name such as `bicubic`, a model folder or a URI.
        scale: Enlargement of each side; results are rounded to whole pixels.
        device: Where to run. None: where the model is, or an accelerator if there is one.
        **tiling: Fields of `TilingOptions` (tile_size, halo, color_match, batch_size); by default as the card says.

    Returns:
        The same kind of object with the same type, layout and device.

    Raises:
        ImageError: The array's shape or the picture's mode cannot be used.
        ModelError: The model does not fit the bands, the type, the values or the scale.
    """
    loaded = resolve_model(model, device)
    check_scale(loaded, scale)
    options = TilingOptions(**tiling)
    if isinstance(image, Image.Image):
        pixels = _run(_picture_bands(image), loaded, scale, options)
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    if isinstance(image, Tensor):
        return _super_resolve_tensor(image, loaded, scale, options)
    return _super_resolve_array(np.asarray(image), loaded, scale, options)


def _super_resolve_tensor(image: Tensor, model: LoadedModel, scale: float, options: TilingOptions) -> Tensor:
    if image.ndim not in (3, 4):
        raise ImageError(f"A tensor of shape {list(image.shape)} is neither [C, H, W] nor [B, C, H, W].")
    array = image.detach().cpu()
    values = array.float().numpy() if array.dtype in (torch.float16, torch.bfloat16) else array.numpy()
    batch = values if image.ndim == 4 else values[None]
    results = np.stack([_run(bands, model, scale, options) for bands in batch])
    sr = torch.from_numpy(results if image.ndim == 4 else results[0])
    return sr.to(device=image.device, dtype=image.dtype)


def _super_resolve_array(image: NDArray[Any], model: LoadedModel, scale: float, options: TilingOptions) -> NDArray[Any]:
    if image.ndim == 2:
        gray: NDArray[Any] = _run(image[None], model, scale, options)[0]
        return gray
    if image.ndim != 3:
        raise ImageError(f"An array of shape {list(image.shape)} is neither [C, H, W], [H, W, C] nor [H, W].")
    if _bands_come_first(image.shape, len(model.card.bands) if model.card else None):
        return _run(image, model, scale, options)
    return np.ascontiguousarray(_run(image.transpose(2, 0, 1), model, scale, options).transpose(1, 2, 0))


def _bands_come_first(shape: tuple[int, ...], num_bands: int | None) -> bool:
    if num_bands is not None:
        return shape[0] == num_bands or shape[2] != num_bands
    return shape[0] <= _MOST_BANDS or shape[2] > _MOST_BANDS


def _picture_bands(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode not in ("RGB", "L"):
        raise ImageError(f"A picture of mode {image.mode} is not red, green, blue.", 'Use image.convert("RGB").')
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def _run(bands: NDArray[Any], model: LoadedModel, scale: float, options: TilingOptions) -> NDArray[Any]:
    """Super-resolve [C, H, W]."""
    if min(bands.shape) < 1:
        raise ImageError(f"An image of shape {list(bands.shape)} has no pixels.")
    if bands.dtype.kind not in "uif":
        raise ImageError(f"Values of type {bands.dtype} are not brightness.", "Use whole or floating-point numbers.")
    if model.card is not None and bands.shape[0] != len(model.card.bands):
        raise ModelError(
            f"The image has {bands.shape[0]} bands, but {model.name} takes {len(model.card.bands)}: "
            f"{', '.join(model.card.bands)}.",
            "Give these bands in this order.",
        )
    values = value_scale(model.card, bands.dtype)
    check_values(bands, model.card)
    complete = options.completed(model.card)
    lr_size = int(bands.shape[1]), int(bands.shape[2])
    plan = plan_tiles(lr_size, output_size(lr_size, scale), complete.tile_size, complete.halo)
    scene = ArrayScene(values.to_network(bands), np.ones(lr_size, np.bool_))
    sr = np.empty((bands.shape[0], *plan.sr_size), bands.dtype)
    for row, strip in Engine(model, complete).run(scene, plan, keep=True):
        sr[:, row : row + strip.shape[1]] = values.from_network(strip)
    return sr

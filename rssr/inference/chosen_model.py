"""The model of a run: loaded, placed on a device, and checked against what is asked of it."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rssr.errors import ModelError
from rssr.models.loaded import LoadedModel, load_model
from rssr.models.resolver import HOW_TO_GET_A_DEVIATION, DeviationResolver

if TYPE_CHECKING:  # `bicubic` runs without PyTorch
    import torch


def resolve_model(model: LoadedModel | str | Path, device: "str | torch.device | None") -> LoadedModel:
    """Load a model by name, path or URI, and put it where it shall run.

    Args:
        model: A loaded model, or what `load_model` takes.
        device: E.g. `cpu`, `cuda`. None leaves a loaded model where it is, and otherwise takes an accelerator if
            there is one.

    Raises:
        ModelError: No such model or device.
    """
    if not isinstance(model, LoadedModel):
        if model == "bicubic" and device is None:
            return load_model(model)
        return load_model(model, checked_device(device or usual_device()))
    if device is not None and model.network is not None:
        model.network.to(checked_device(device))
    return model


def usual_device() -> str:
    """Where models run if nobody asks for another place: an accelerator if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def checked_device(device: "str | torch.device") -> "torch.device":
    """A device that exists here.

    Raises:
        ModelError: It does not.
    """
    import torch

    with suppress(RuntimeError):
        chosen = torch.device(device)
        if chosen.type == "cpu" or torch.zeros(1, device=chosen).device.type == chosen.type:
            return chosen
    available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    raise ModelError(f"There is no device '{device}' here.", f"Choose one of: {', '.join(available)}.")


def model_device(model: LoadedModel) -> "torch.device":
    """Where a model's weights lie; the CPU for a model without."""
    import torch

    weights = next(model.network.parameters(), None) if model.network is not None else None
    return weights.device if weights is not None else torch.device("cpu")


def kind_of_device(model: LoadedModel) -> str:
    """Of `model_device`, e.g. `cpu` or `cuda`."""
    return "cpu" if model.network is None else model_device(model).type


def gives_deviation(model: LoadedModel) -> bool:
    """Whether a model can say how far its images may be off."""
    return isinstance(model.resolver, DeviationResolver) and model.resolver.gives_deviation


def check_deviation(model: LoadedModel) -> None:
    """Refuse models that cannot say how far their images may be off.

    Raises:
        ModelError: With where such a model comes from.
    """
    if gives_deviation(model):
        return
    named = model.name if model.card is None or model.card.name == model.name else f"{model.card.name} ({model.name})"
    raise ModelError(f"{named} gives no uncertainty.", HOW_TO_GET_A_DEVIATION)


def check_bands(model: LoadedModel, num_bands: int) -> None:
    """Refuse images with more or fewer bands than the card says; without a card the network itself knows.

    Raises:
        ModelError: With both numbers.
    """
    if model.card is not None and num_bands != len(model.card.bands):
        raise ModelError(
            f"The image has {num_bands} bands, but {model.name} takes {len(model.card.bands)}: "
            f"{', '.join(model.card.bands)}.",
            "Give these bands in this order.",
        )


def check_scale(model: LoadedModel, scale: float) -> None:
    """Refuse scales below 1, and those the model was not trained for.

    Raises:
        ModelError: With the scales there are.
    """
    if not scale >= 1 or scale == float("inf"):
        raise ModelError(f"A scale of {scale} is not an enlargement.", "Give 1 or more.")
    if model.card is not None and not model.card.scale_range[0] <= scale <= model.card.scale_range[1]:
        low, high = model.card.scale_range
        known = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        raise ModelError(
            f"{model.name} was trained for a scale of {known}, not {scale:g}.",
            "Give such a scale, or choose another model.",
        )

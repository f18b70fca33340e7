"""What one image costs a model: parameters, multiply-accumulates and seconds."""

import time
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn

from rssr.errors import ModelError
from rssr.inference.chosen_model import model_device
from rssr.models.counting import count_live
from rssr.models.loaded import LoadedModel
from rssr.models.macs import count_macs

SIDE = 512
"""Side of the SR image that costs are told for, pixels (SlimDiffSR, section 4.3)."""
_NUM_RUNS = 3
_USUAL_BANDS = 3  # of a model without a card
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class ImageCost:
    """Cost of one SR image of 512 by 512 pixels.

    Attributes:
        num_parameters: Parameters that the network holds.
        macs: Multiply-accumulates of its convolutions, linear layers and attention.
        seconds: Median wall-clock time of a few runs after a first one that does not count.
        device: Where they ran, e.g. `cpu`.
    """

    num_parameters: int
    macs: int
    seconds: float
    device: str


def measure_cost(model: LoadedModel, scale: float) -> ImageCost:
    """Time a model, then count what it computes.

    The weights are given up, so that counting needs no second network: the model cannot be used afterwards.

    Args:
        model: With a network.
        scale: HR/LR ratio; decides the LR size.

    Raises:
        ModelError: The model has no network.
    """
    network = _network_of(model)
    device = model_device(model)
    seconds = _time(model, _lr_image(model, scale, device))
    num_parameters = count_live(network)
    return ImageCost(num_parameters, count_image_cost(model, scale), seconds, device.type)


def count_image_cost(model: LoadedModel, scale: float) -> int:
    """Multiply-accumulates of one SR image of 512 by 512 pixels; gives the weights up, as `measure_cost` does.

    Args:
        model: With a network.
        scale: HR/LR ratio; decides the LR size.

    Raises:
        ModelError: The model has no network.
    """
    network = _network_of(model)
    network.to("meta")
    image = _lr_image(model, scale, torch.device("meta"))
    return count_macs(network, lambda: model.resolver(image, (SIDE, SIDE))).total


def _network_of(model: LoadedModel) -> nn.Module:
    if model.network is None:
        raise ModelError(f"{model.name} has no network whose cost could be told.")
    return model.network


def _time(model: LoadedModel, lr: torch.Tensor) -> float:
    """Seconds of one run; where the first takes very long, its own."""
    start = time.perf_counter()
    times = [_run(model, lr)]
    while len(times) <= _NUM_RUNS and time.perf_counter() - start + times[-1] < _PATIENCE_S:
        times.append(_run(model, lr))
    return median(times[1:] or times)


def _run(model: LoadedModel, lr: torch.Tensor) -> float:
    start = time.perf_counter()
    with torch.no_grad():
        model.resolver(lr, (SIDE, SIDE))
    if lr.device.type == "cuda":
        torch.cuda.synchronize(lr.device)
    return time.perf_counter() - start


def _lr_image(model: LoadedModel, scale: float, device: torch.device) -> torch.Tensor:
    num_bands = len(model.card.bands) if model.card else _USUAL_BANDS
    side = round(SIDE / scale)
    return torch.zeros(1, num_bands, side, side, device=device)

"""Learned metrics of single pictures."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rssr.errors import ConfigError, ImageError
from rssr.metrics.fidelity import crop_pair
from rssr.metrics.perceptual.loading import load_network
from rssr.metrics.spec import MetricSpec, metric_spec


class PerceptualMetric:
    """One metric of pyiqa, loaded. Measures one picture at a time, without gradients, and the same every time.

    Attributes:
        spec: How to read its values.
        network: Of pyiqa; takes [1, 3, H, W] from 0 to 1.
    """

    def __init__(self, spec: MetricSpec, network: nn.Module, device: torch.device) -> None:
        self.spec = spec
        self.network = network.to(device)
        self._device = device

    def __call__(self, sr: NDArray[np.uint8], hr: NDArray[np.uint8] | None = None, *, border: int = 0) -> float:
        """Measure.

        Args:
            sr: uint8 [H, W, 3].
            hr: uint8 [H, W, 3]. Metrics that need none take no notice of it.
            border: Pixels left out on each side. None are left out unasked: `spec.is_cropped` is false, because
                papers measure whole pictures.

        Raises:
            ImageError: Sizes or types differ, a picture is too small, or the value is no finite number.
            ValueError: The metric compares with an HR image, and there is none.
        """
        is_alone = self.spec.needs == "nothing"
        if hr is None and not is_alone:
            raise ValueError(f"{self.spec.name} compares with an HR image")
        sr, hr = crop_pair(sr, sr if hr is None or is_alone else hr, border, self.spec.smallest_side)
        # NIQE's statistics of a picture are not finite where it has one colour; solving with them is then an error.
        value = self._value(sr) if is_alone else self._value(sr, hr)
        if not np.isfinite(value):
            raise ImageError(f"This picture has no {self.spec.title}.", "Look at it: it may be of one colour.")
        return value

    def _value(self, *pictures: NDArray[np.uint8]) -> float:
        with torch.inference_mode(), reproducible():
            try:
                return float(self.network(*(to_network_input(picture, self._device) for picture in pictures)))
            except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # documented, though not among its exports
                return math.nan


def load_metric(name: str, folder: str | Path | None = None, device: str | torch.device = "cpu") -> PerceptualMetric:
    """Load a learned metric of single pictures from local files; nothing is ever fetched.

    Args:
        name: `lpips`, `dists`, `maniqa`, `musiq`, `niqe` or `clipiqa`.
        folder: With the weights; None looks where `metric_weights_folder` says.
        device: Where to compute.

    Raises:
        ConfigError: It is no such metric.
        WeightsError: Files or pyiqa are missing, or a file is damaged or another metric's; says what to do.
    """
    spec = metric_spec(name)
    if not spec.weights or spec.needs == "set":
        raise ConfigError(f"'{name}' is not measured by a network on single pictures.")
    return PerceptualMetric(spec, load_network(name, folder), torch.device(device))


@contextmanager
def reproducible() -> Iterator[None]:
    """GPUs take the same algorithms every time, in full precision; the CPU does so anyway."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def to_network_input(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """A picture as pyiqa's networks take it: uint8 [H, W, 3] becomes float32 [1, 3, H, W] from 0 to 1."""
    tensor = torch.from_numpy(np.array(pixels)).to(device)  # a copy: pictures may be read-only
    return tensor.permute(2, 0, 1)[None].float() / 255

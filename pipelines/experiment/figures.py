"""Figures that the method draws of its trained networks, on held-out images."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from pipelines.datasets.manifest import ImageRecord, Manifest
from pipelines.evaluation.comparison import Pixels
from pipelines.experiment.training import Plan
from pipelines.loop.batches import to_batch
from pipelines.progress import Progress
from pipelines.stages.read import ReadPatches
from rssr.degradation import degrade
from rssr.methods.figures import Figure, HeldOutImage, Illustrated
from rssr.methods.phase import PhaseInputs
from rssr.seeds import derive_seed

_NUM_IMAGES = 3
_LARGEST_SIDE = 256  # HR pixels: enough to see something in a latent of an eighth, and little work
_STEPS = (64, 16)  # HR sides are multiples of the first that fits; what networks take without padding


def make_figures(plan: Plan, phases: Iterable[str]) -> Sequence[Figure]:
    """What the method shows of finished phases; nothing where it has nothing to show, or where none is wanted.

    Args:
        plan: The experiment.
        phases: Finished phases; those that they build on are finished too.
    """
    method = plan.method
    if not plan.config.report.pictures or not isinstance(method, Illustrated) or plan.config.data.scenes is not None:
        return ()  # the figures are drawn of pictures in red, green and blue
    images = [_shown(plan, record) for record in choose_images(plan.manifest)]
    finished = dict.fromkeys(name for phase in phases for name in (*method.needed_phases(phase), phase))
    if not images or not finished:
        return ()
    with tempfile.TemporaryDirectory(prefix="rssr-figures-") as work, Progress("figures"):
        folders = {phase: plan.folder(phase).fetch_output(Path(work)) for phase in finished}
        return method.draw_figures(PhaseInputs(folders, torch.device("cpu")), images)


def choose_images(manifest: Manifest) -> list[ImageRecord]:
    """A few of the largest held-out images, spread over their list and so over the classes."""
    sides = [shown_side(record.side) for record in manifest.split("test")]
    largest = max(sides, default=0)
    usable = [record for record, side in zip(manifest.split("test"), sides, strict=True) if side == largest > 0]
    places = np.linspace(0, len(usable) - 1, min(_NUM_IMAGES, len(usable)))
    return [usable[round(place)] for place in places]


def shown_side(side: int) -> int:
    """Side of the square that is shown of an image, HR pixels; 0 where it is too small."""
    side = min(side, _LARGEST_SIDE)
    return next((side // step * step for step in _STEPS if side >= step), 0)


def _shown(plan: Plan, record: ImageRecord) -> HeldOutImage:
    """The middle of an image, degraded as in training at the product's scale."""
    config = plan.config
    hr = _middle(ReadPatches([record], plan.manifest.sources).read_image(0), shown_side(record.side))
    scale = config.product_scale
    lr = degrade(hr, scale, config.data.degradation, derive_seed(config.seed, "figures", record.key))
    return HeldOutImage(record.key, to_batch({"lr": lr[None], "hr": hr[None], "scale": scale}, torch.device("cpu")))


def _middle(pixels: Pixels, side: int) -> Pixels:
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])

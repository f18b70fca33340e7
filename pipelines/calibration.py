"""Held-out images as the evaluation prepares them, for phases that are fitted to a finished network's errors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from pipelines.datasets.manifest import Manifest
from pipelines.datasets.scenes_config import ScenesConfig
from pipelines.evaluation.comparison import EvaluationSpec, is_measurable, prepare_pair
from pipelines.loop.batches import to_batch
from pipelines.stages.reader import patch_reader
from rssr.degradation import DegradationConfig
from rssr.methods.phase import Batch


@dataclass(frozen=True)
class CalibrationSpec:
    """What the evaluation measures.

    Attributes:
        scales: HR/LR ratios.
        max_side: Larger images are cropped to this side around their centre.
        border: Pixels that it cuts from every side; smaller images are left out.
        num_images: Images it takes at most of each half; None takes all.
    """

    scales: Sequence[float]
    max_side: int
    border: int
    num_images: int | None


def calibration_pairs(
    manifest: Manifest,
    degradation: DegradationConfig,
    seed: int,
    spec: CalibrationSpec,
    scenes: ScenesConfig | None = None,
) -> Iterator[Batch]:
    """Each image of the half `fit` at each scale, one a batch, on the CPU; each scale has as many as in the evaluation.

    Args:
        manifest: Of the images.
        degradation: How LR images are made.
        seed: Of the experiment.
        spec: What the evaluation measures.
        scenes: How Sentinel-2 products are read; None for pictures.
    """
    images = manifest.half_of_test_images("fit")[: spec.num_images]
    reader = patch_reader(images, manifest.sources, scenes)
    for scale in spec.scales:
        evaluation = EvaluationSpec(scale, degradation, seed, spec.max_side, spec.border, scenes=scenes)
        for number, record in enumerate(images):
            pixels = reader.read_image(number)
            if is_measurable(pixels, evaluation):
                pair = prepare_pair(record.key, pixels, evaluation)
                arrays = {"lr": pair.lr[None], "hr": pair.hr[None], "scale": scale}
                yield to_batch(arrays, torch.device("cpu"))

"""Small images, untrained models and tasks over them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.datasets.manifest import ImageRecord
from pipelines.evaluation.prepare import PreparedImage
from pipelines.evaluation.task import EvaluationTask, ImageJob, MeasuringSpec, RunnableDataset, RunnableMethod
from rssr.card import ModelCard
from rssr.degradation import degradation_preset, degrade
from rssr.images import encode_png
from rssr.models.registry import create_model
from rssr.scenes import generate_scene
from rssr.weights.folder import save_model_folder
from tests.rssr.conftest import TINY_STUDENT
from tests.rssr.methods.tiny_latent import TINY_ARCHITECTURE

BICUBIC = RunnableMethod("bicubic", "bicubic", (4.0,), identity="bicubic")
NEAREST = RunnableMethod("nearest", "nearest", (4.0,), identity="nearest")
FIDELITY = ("psnr_y", "ssim_y")


def picture(number: int, height: int = 64, width: int = 64) -> np.ndarray:
    """A procedural image; another for each number."""
    return generate_scene(number, height, width, gsd_m=0.6)


def write_images(folder: Path, count: int, size: tuple[int, int] = (64, 64), num_classes: int = 2) -> Path:
    """PNG files in folders of classes, dealt out in turn; returns the folder."""
    for number in range(count):
        path = folder / f"class{number % num_classes}" / f"image_{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(picture(number, *size)))
    return folder


def records_of(folder: Path) -> tuple[ImageRecord, ...]:
    """What a manifest says of the images below a folder, of 64 x 64 pixels."""
    return tuple(
        ImageRecord(
            path.relative_to(folder).as_posix(),
            0,
            "test",
            path.parent.name,
            64,
            64,
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(folder.rglob("*.png"))
    )


def prepared(hr: np.ndarray, scale: float = 4.0) -> PreparedImage:
    """An image as methods and metrics see it."""
    lr = degrade(hr, scale, degradation_preset("bicubic"), 0)
    return PreparedImage(ImageJob(0, scale, 0), "image.png", lr, hr, hr.shape[:2], hr.shape[:2], 0.25)


def task_of(
    datasets: Sequence[RunnableDataset], methods: Sequence[RunnableMethod] = (BICUBIC, NEAREST), **values: Any
) -> EvaluationTask:
    """A task of PSNR and SSIM, with LR images by bicubic downsampling."""
    usual: dict[str, Any] = {"degradation": degradation_preset("bicubic"), "measuring": MeasuringSpec(FIDELITY)}
    return EvaluationTask(tuple(datasets), tuple(methods), **{**usual, **values})


def dataset_of(folder: Path, name: str = "small", **values: Any) -> RunnableDataset:
    """All images below a folder."""
    usual: dict[str, Any] = {"scales": (4.0,)}
    return RunnableDataset(name, records_of(folder), (str(folder),), **{**usual, **values})


def card_of(name: str, method: str, **values: Any) -> ModelCard:
    """A card for pictures at scale 4."""
    usual: dict[str, Any] = {"bands": ["red", "green", "blue"], "scale_range": (4.0, 4.0), "licence": "CC0-1.0"}
    return ModelCard(name=name, method=method, **{**usual, **values})


def save_student(folder: Path, **card: Any) -> Path:
    """An untrained student of SlimDiffSR with its card; returns the folder."""
    torch.manual_seed(0)
    network = create_model("slimdiffsr", **TINY_STUDENT)
    save_model_folder(folder, "slimdiffsr", TINY_STUDENT, network, card_of("tiny-student", "slimdiffsr", **card))
    return folder


def save_sampler(folder: Path, **card: Any) -> Path:
    """An untrained LDCSR, which draws noise and so has error bars; returns the folder."""
    torch.manual_seed(0)
    network = create_model("ldcsr", **TINY_ARCHITECTURE)
    facts = card_of("tiny-ldcsr", "ldcsr", **{"scale_range": (1.0, 8.0), **card})
    save_model_folder(folder, "ldcsr", network.architecture, network, facts)
    return folder

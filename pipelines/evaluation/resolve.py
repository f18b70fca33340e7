"""Making SR images: by interpolation, by a model, or by reading what was made elsewhere; timed."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipelines.evaluation.comparison import upscaler_of
from pipelines.evaluation.memory import peak_memory
from pipelines.evaluation.prepare import OF_ONE_IMAGE, Picture, PreparedImage, in_words, is_final
from pipelines.evaluation.task import EvaluationTask, Place, RunnableMethod
from pipelines.machine import describe_machine
from pipelines.storage import Store
from pipelines.storage.model_source import fetch_remote_model
from pipelines.storage.shards import open_images
from rssr.errors import ImageError, StorageError
from rssr.images import decode_image, probe_image
from rssr.inference import super_resolve
from rssr.inference.chosen_model import gives_deviation
from rssr.inference.engine import FloatArray
from rssr.methods.slimdiffsr.inference import official_inference
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.metrics.reliability import ReliabilityTally
from rssr.models.loaded import LoadedModel, load_model
from rssr.seeds import derive_seed
from rssr.tiling import nearest_lr

_LEAST_DEVIATION = 1e-3  # grey levels: where samples agree exactly, an error bar that was never fitted is 0
_MOST_WHOLE_PIXELS = 4096 * 4096  # of an SR image that is computed in one piece, as the published procedure does
_LOSSY = ("JPEG", "MPO")


@dataclass(frozen=True, eq=False)
class SrImage:
    """What a method made of an image.

    Attributes:
        method: Its name.
        sr: uint8 [H, W, 3]; None where it failed.
        reason: Why it did; else empty.
        is_final: Whether it would fail again.
        seconds: Time of super-resolution alone; NaN where nothing was run.
        peak_bytes: Most memory that it took; None where unknown.
        machine: On which it ran; empty where nothing was run.
        tally: Its error bars against its errors, as `ReliabilityTally.to_bytes`; empty where it has none.
    """

    method: str
    sr: Picture | None
    reason: str = ""
    is_final: bool = True
    seconds: float = math.nan
    peak_bytes: int | None = None
    machine: str = ""
    tally: bytes = b""


class ResolveImage:
    """Run methods on images. Safe to run again: what a method draws depends on seed and image alone.

    The first image of each method at each scale is run once more before, untimed: what is set up then is not the
    image's. Models are loaded when they are first needed.

    Args:
        task: Names methods, seed and device.
    """

    def __init__(self, task: EvaluationTask) -> None:
        torch.set_num_threads(task.num_threads)
        if task.device == "cuda":
            torch.backends.cudnn.benchmark = False
            torch.backends.cudnn.deterministic = True
        self._task = task
        self._models: dict[str, LoadedModel] = {}
        self._stores: dict[str, Store] = {}
        self._warm: set[tuple[str, float]] = set()

    def __call__(self, image: PreparedImage, method: RunnableMethod) -> SrImage:
        """The SR image, or why there is none: whatever a method stumbles over is its own failure.

        Raises:
            StorageError: Images made elsewhere cannot be reached.
        """
        try:
            return self._run(image, method)
        except OF_ONE_IMAGE as error:
            return SrImage(method.name, None, in_words(error), is_final(error))
        except StorageError:
            raise
        except Exception as error:  # of any network's code; the other methods and images are none the worse
            return SrImage(method.name, None, in_words(error), is_final(error))

    def sr_of(self, image: PreparedImage, method: RunnableMethod) -> Picture:
        """The SR image alone, uint8 [H, W, 3]; the same as before, untimed.

        Raises:
            Exception: Whatever the method stumbles over.
        """
        return self._read_made(image, method) if method.kind == "images" else self._upscale(image, method)

    def deviation_of(self, image: PreparedImage, method: RunnableMethod) -> tuple[Picture, FloatArray] | None:
        """The SR image whose error bars are told, uint8 [H, W, 3], and these, float32 [H, W, 3] in grey levels.

        Colours are not matched. A model that samples tells them of the mean of its samples.

        Returns:
            None where the method has no error bars.
        """
        if method.kind != "model" or not gives_deviation(model := self._model(method)):
            return None
        lr, scale = np.moveaxis(image.lr, -1, 0), image.job.scale
        sr, deviation = super_resolve(
            lr, model, scale, color_match="none", return_uncertainty=True, seed=self._seed(image)
        )
        return np.moveaxis(sr, 0, -1), np.moveaxis(deviation, 0, -1)

    def _run(self, image: PreparedImage, method: RunnableMethod) -> SrImage:
        if method.kind == "images":
            return SrImage(method.name, self._read_made(image, method))
        key = method.name, image.job.scale
        if key not in self._warm:
            self._upscale(image, method)
            self._warm.add(key)
        with peak_memory(self._task.device) as memory:
            start = time.perf_counter()
            sr = self._upscale(image, method)
            seconds = time.perf_counter() - start
        machine = describe_machine(self._task.device)
        tally = self._tally(image, method)
        return SrImage(method.name, sr, "", True, seconds, memory.num_bytes, machine, tally)

    def _upscale(self, image: PreparedImage, method: RunnableMethod) -> Picture:
        scale, lr = image.job.scale, image.lr.copy()  # a method cannot change what the next one sees
        if method.kind == "nearest":
            return nearest(lr, image.size)
        model = self._model(method)
        matching = method.color_match
        if method.as_authors and float(scale).is_integer():
            if math.prod(image.size) <= _MOST_WHOLE_PIXELS and isinstance(model.network, SlimDiffSR):
                return official_inference(lr, model.network, int(scale))
            matching = "scene"  # colours of whole images, which the authors match, in tiles
        sr: Picture = upscaler_of(model, scale, matching, self._seed(image))(lr, image.size)
        return sr

    def _tally(self, image: PreparedImage, method: RunnableMethod) -> bytes:
        if image.hr is None or not self._task.measuring.reliability:
            return b""
        told = self.deviation_of(image, method)
        if told is None:
            return b""
        sr, deviation = told
        tally = ReliabilityTally()
        tally.add(np.maximum(deviation, _LEAST_DEVIATION), sr.astype(np.float32) - image.hr)
        return tally.to_bytes()

    def _seed(self, image: PreparedImage) -> int:
        dataset = self._task.datasets[image.job.dataset].name
        return derive_seed(self._task.seed, "evaluation samples", dataset, image.key, f"{image.job.scale:g}")

    def _model(self, method: RunnableMethod) -> LoadedModel:
        if method.name not in self._models:
            self._models[method.name] = load_model(_folder(method), self._task.device)
        return self._models[method.name]

    def _read_made(self, image: PreparedImage, method: RunnableMethod) -> Picture:
        """The image made elsewhere, cropped as the HR image is."""
        dataset = self._task.datasets[image.job.dataset]
        place = dataset.made[method.name, image.job.scale][image.job.image]
        if not isinstance(place, Place):
            raise ImageError(place)
        store = self._stores.setdefault(place.uri, open_images(place.uri, self._task.settings))
        address, data = store.describe(place.key), store.read_bytes(place.key)
        if probe_image(data, address).format in _LOSSY:
            raise ImageError(f"{address} is JPEG: its figures would be of the compression as well.", "Give PNG.")
        sr = decode_image(data, address).pixels
        height, width = image.whole_size
        if sr.shape[:2] != (height, width):
            raise ImageError(f"{address} has {sr.shape[0]} x {sr.shape[1]} pixels instead of {height} x {width}.")
        return image.cropped(sr)


def nearest(lr: Picture, size: tuple[int, int]) -> Picture:
    """Each SR pixel is the LR pixel that its centre lies in; uint8 [H, W, 3]."""
    rows, columns = (nearest_lr(side, wanted) for side, wanted in zip(lr.shape[:2], size, strict=True))
    return np.ascontiguousarray(lr[rows[:, None], columns])


def _folder(method: RunnableMethod) -> str | Path:
    """The model's folder on this machine."""
    if method.kind == "bicubic":
        return "bicubic"
    folder = Path(method.folder)
    return folder if folder.is_dir() or not method.fetch_uri else fetch_remote_model(method.fetch_uri)

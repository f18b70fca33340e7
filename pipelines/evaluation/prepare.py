"""One image on its way to the methods: read, cropped, and its LR image made or read."""

import math
import time
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.manifest import ImageRecord
from pipelines.evaluation.comparison import EvaluationSpec, centre_of, is_measurable, prepare_pair
from pipelines.evaluation.task import EvaluationTask, ImageJob, RunnableDataset
from pipelines.stages.read import ReadPatches
from pipelines.storage import ObjectDamaged, ObjectMissing
from rssr.degradation import configure_worker_threads
from rssr.errors import DataError, ImageError, RssrError
from rssr.tiling import output_size

Picture = NDArray[np.uint8]  # [H, W, 3]

OF_ONE_IMAGE = (DataError, ObjectDamaged, ObjectMissing, MemoryError)
"""Errors that concern one image and leave the others as they are."""

_LARGEST_DENOMINATOR = 20  # of the scale of pairs that are cropped


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """What methods and metrics see of an image.

    Attributes:
        job: Which image, at which scale.
        key: Its key.
        lr: uint8 [h, w, 3].
        hr: uint8 [H, W, 3]; None where there is none.
        size: (H, W) of SR images.
        whole_size: (H, W) of the HR image before it was cropped around its centre.
        io_seconds: Time of reading, decoding, cropping and degrading.
    """

    job: ImageJob
    key: str
    lr: Picture
    hr: Picture | None
    size: tuple[int, int]
    whole_size: tuple[int, int]
    io_seconds: float


class PrepareImage:
    """Read an image and its LR image, or make that. Safe to run again.

    Args:
        task: Names images, crops and degradation.
    """

    def __init__(self, task: EvaluationTask) -> None:
        configure_worker_threads()
        self._task = task
        self._readers = [ReadPatches(data.images, data.sources, settings=task.settings) for data in task.datasets]
        self._lr_readers = [
            ReadPatches(_present(data), data.lr_sources, settings=task.settings) for data in task.datasets
        ]

    def __call__(self, job: ImageJob) -> PreparedImage:
        """The image of a job.

        Raises:
            DataError: It has changed, is damaged or too small, or LR and HR do not fit.
            StorageError: It cannot be read.
        """
        start = time.perf_counter()
        dataset = self._task.datasets[job.dataset]
        pixels = self._readers[job.dataset].read_image(job.image)
        whole = pixels.shape[0], pixels.shape[1]
        if not dataset.has_hr:
            lr = _cropped_lr(pixels, job.scale, dataset.max_side)
            hr, size = None, output_size((lr.shape[0], lr.shape[1]), job.scale)
            whole = output_size(whole, job.scale)
        else:
            lr, hr = self._pair(job, pixels)
            size = hr.shape[0], hr.shape[1]
        return PreparedImage(job, dataset.images[job.image].key, lr, hr, size, whole, time.perf_counter() - start)

    def _pair(self, job: ImageJob, pixels: Picture) -> tuple[Picture, Picture]:
        dataset = self._task.datasets[job.dataset]
        spec = self._spec(job, pixels)
        key = dataset.images[job.image].key
        if dataset.lr_images:
            lr = self._lr_readers[job.dataset].read_image(job.image)
            lr, hr = fitted_pair(key, lr, pixels, job.scale, dataset.max_side)
            is_large = min(hr.shape[:2]) > 2 * spec.border
        else:
            is_large = is_measurable(pixels, spec)
            pair = prepare_pair(key, pixels, spec) if is_large else None
            lr, hr = (pair.lr, pair.hr) if pair is not None else (pixels, pixels)
        if not is_large:
            height, width = pixels.shape[:2]
            raise ImageError(
                f"It is too small to be measured: {height} x {width} pixels at scale {job.scale:g}, of which a border "
                f"of {spec.border} is cut."
            )
        return lr, hr

    def _spec(self, job: ImageJob, pixels: Picture) -> EvaluationSpec:
        task = self._task
        max_side = task.datasets[job.dataset].max_side or max(pixels.shape[:2])
        border = border_of(task.measuring.border, job.scale)
        return EvaluationSpec(job.scale, task.degradation, task.seed, max_side, border)


def in_words(error: BaseException) -> str:
    """An error as one paragraph, which says what kind of error it is where nobody meant it to be read."""
    if isinstance(error, RssrError):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0][:300]
    return f"{type(error).__name__}: {first}".rstrip(": ") + "."


def border_of(border: int | str, scale: float) -> int:
    """Pixels cut before comparing with HR: a number, or as many as the scale, rounded up."""
    return border if isinstance(border, int) else math.ceil(scale)


def fitted_pair(
    key: str, lr: Picture, hr: Picture, scale: float, max_side: int | None = None
) -> tuple[Picture, Picture]:
    """An LR and an HR image of the same ground, cropped around their centre where they are larger than asked for.

    Args:
        key: Of the image, for errors.
        lr: uint8 [h, w, 3].
        hr: uint8 [H, W, 3].
        scale: HR/LR size ratio.
        max_side: Largest side, HR pixels; None leaves them whole.

    Raises:
        ImageError: Their sizes have another ratio.
    """
    (height, width), (lr_height, lr_width) = hr.shape[:2], lr.shape[:2]
    if output_size((lr_height, lr_width), scale) != (height, width):
        raise ImageError(
            f"{key}: the HR image has {height} x {width} pixels, its LR image {lr_height} x {lr_width}, which is not a "
            f"ratio of {scale:g}."
        )
    if max_side is None or max(height, width) <= max_side:
        return lr, hr
    # Only whole LR pixels that begin on whole HR pixels can be cut from both.
    ratio = Fraction(scale).limit_denominator(_LARGEST_DENOMINATOR)
    spans = [_inner_span(side, ratio, max_side) for side in (lr_height, lr_width)]
    rows, columns = (slice(start, stop) for start, stop in spans)
    hr_rows, hr_columns = (slice(round(start * ratio), round(stop * ratio)) for start, stop in spans)
    return np.ascontiguousarray(lr[rows, columns]), np.ascontiguousarray(hr[hr_rows, hr_columns])


def _inner_span(lr_side: int, ratio: Fraction, max_side: int) -> tuple[int, int]:
    """First and one-past-last LR pixel of the largest middle part of at most so many HR pixels."""
    step = ratio.denominator
    kept = min(lr_side, int(max_side / ratio)) // step * step
    start = (lr_side - kept) // 2 // step * step
    return start, start + kept


def _cropped_lr(pixels: Picture, scale: float, max_side: int | None) -> Picture:
    most = max(pixels.shape[:2]) if max_side is None else max(1, int(max_side / scale))
    return centre_of(pixels, (min(pixels.shape[0], most), min(pixels.shape[1], most)))


def _present(dataset: RunnableDataset) -> list[ImageRecord]:
    """LR images in the order of the images; where there is none, nobody asks for it, and another holds its place."""
    return [lr or record for lr, record in zip(dataset.lr_images, dataset.images, strict=False)]

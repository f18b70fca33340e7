"""One image on its way to the methods: read, cropped, and its LR image made or read."""

import math
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.manifest import ImageRecord
from pipelines.evaluation.comparison import EvaluationSpec, is_measurable, prepare_pair
from pipelines.evaluation.task import EvaluationTask, ImageJob, RunnableDataset
from pipelines.stages.read import ReadPatches
from pipelines.storage import ObjectDamaged, ObjectMissing
from rssr.degradation import configure_worker_threads
from rssr.errors import DataError, ImageError, ModelError, RssrError
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
        origin: Row and column of the whole HR image at which they begin.
        whole_size: (H, W) of the HR image before it was cropped.
        io_seconds: Time of reading, decoding, cropping and degrading.
    """

    job: ImageJob
    key: str
    lr: Picture
    hr: Picture | None
    size: tuple[int, int]
    origin: tuple[int, int]
    whole_size: tuple[int, int]
    io_seconds: float

    def cropped(self, whole: Picture) -> Picture:
        """The part of an SR image of the whole size that is measured."""
        (top, left), (height, width) = self.origin, self.size
        return np.ascontiguousarray(whole[top : top + height, left : left + width])


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
        key, pixels = dataset.images[job.image].key, self._readers[job.dataset].read_image(job.image)
        if dataset.has_hr and not dataset.lr_images:
            pair = self._degraded(job, key, pixels)
        else:
            hr = pixels if dataset.has_hr else None
            lr = pixels if hr is None else self._lr_readers[job.dataset].read_image(job.image)
            pair = fitted_pair(key, lr, hr, job.scale, dataset.max_side)
            self._require_size(job, pixels, pair.size if hr is not None else None)
        whole = pixels.shape[:2] if dataset.has_hr else output_size(pixels.shape[:2], job.scale)
        return PreparedImage(job, key, *pair, whole, time.perf_counter() - start)

    def _degraded(self, job: ImageJob, key: str, pixels: Picture) -> "FittedPair":
        """An HR image cropped around its centre, and the LR image that is made of it."""
        spec = self._spec(job, pixels)
        self._require_size(job, pixels, pixels.shape[:2] if is_measurable(pixels, spec) else (0, 0))
        made = prepare_pair(key, pixels, spec)
        origin = tuple((side - kept) // 2 for side, kept in zip(pixels.shape[:2], made.hr.shape[:2], strict=True))
        return FittedPair(made.lr, made.hr, made.hr.shape[:2], origin)

    def _require_size(self, job: ImageJob, pixels: Picture, size: tuple[int, int] | None) -> None:
        """Refuse HR images of which the border leaves nothing."""
        border = self._spec(job, pixels).border
        if size is not None and min(size) <= 2 * border:
            height, width = pixels.shape[:2]
            raise ImageError(
                f"It is too small to be measured: {height} x {width} pixels at scale {job.scale:g}, of which a border "
                f"of {border} is cut."
            )

    def _spec(self, job: ImageJob, pixels: Picture) -> EvaluationSpec:
        task = self._task
        max_side = task.datasets[job.dataset].max_side or max(pixels.shape[:2])
        border = border_of(task.measuring.border, job.scale)
        return EvaluationSpec(job.scale, task.degradation, task.seed, max_side, border)


def is_final(error: BaseException) -> bool:
    """Whether an error lies in the images or the model, and so comes again; memory or a store may do better."""
    return isinstance(error, DataError | ModelError)


def in_words(error: BaseException) -> str:
    """An error as one paragraph, which says what kind of error it is where nobody meant it to be read."""
    if isinstance(error, RssrError):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0][:300]
    return f"{type(error).__name__}: {first}".rstrip(": ") + "."


def border_of(border: int | str, scale: float) -> int:
    """Pixels cut before comparing with HR: a number, or as many as the scale, rounded up."""
    return border if isinstance(border, int) else math.ceil(scale)


class FittedPair(NamedTuple):
    """An LR and an HR image of the same ground.

    Attributes:
        lr: uint8 [h, w, 3].
        hr: uint8 [H, W, 3]; None where there is none.
        size: (H, W).
        origin: Row and column of the whole HR image at which they begin.
    """

    lr: Picture
    hr: Picture | None
    size: tuple[int, int]
    origin: tuple[int, int]


def fitted_pair(key: str, lr: Picture, hr: Picture | None, scale: float, max_side: int | None = None) -> FittedPair:
    """An LR and an HR image cropped to the same ground, around the centre, where they are larger than asked for.

    Args:
        key: Of the image, for errors.
        lr: uint8 [h, w, 3].
        hr: uint8 [H, W, 3]; None where there is none.
        scale: HR/LR size ratio.
        max_side: Largest side, HR pixels; None leaves them whole.

    Raises:
        ImageError: Their sizes have another ratio.
    """
    lr_size = lr.shape[0], lr.shape[1]
    whole = output_size(lr_size, scale)
    if hr is not None and hr.shape[:2] != whole:
        raise ImageError(
            f"{key}: the HR image has {hr.shape[0]} x {hr.shape[1]} pixels, its LR image {lr_size[0]} x {lr_size[1]}, "
            f"which is not a ratio of {scale:g}."
        )
    if max_side is None or max(whole) <= max_side:
        return FittedPair(lr, hr, whole, (0, 0))
    # Only whole LR pixels that begin on whole HR pixels can be cut from both.
    ratio = Fraction(scale).limit_denominator(_LARGEST_DENOMINATOR)
    spans = [_inner_span(side, ratio, max_side) for side in lr_size]
    lr_rows, lr_columns = (slice(start, stop) for start, stop in spans)
    rows, columns = (slice(int(start * ratio), int(stop * ratio)) for start, stop in spans)
    cut = None if hr is None else np.ascontiguousarray(hr[rows, columns])
    size = rows.stop - rows.start, columns.stop - columns.start
    return FittedPair(np.ascontiguousarray(lr[lr_rows, lr_columns]), cut, size, (rows.start, columns.start))


def _inner_span(lr_side: int, ratio: Fraction, max_side: int) -> tuple[int, int]:
    """First and one-past-last LR pixel of the largest middle part of at most so many HR pixels."""
    step = ratio.denominator
    kept = min(lr_side, int(max_side / ratio)) // step * step
    start = (lr_side - kept) // 2 // step * step
    return start, start + kept


def _present(dataset: RunnableDataset) -> list[ImageRecord]:
    """LR images in the order of the images; where there is none, nobody asks for it, and another holds its place."""
    return [lr or record for lr, record in zip(dataset.lr_images, dataset.images, strict=False)]

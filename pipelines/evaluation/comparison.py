"""Compare models on held-out images: degrade, super-resolve, measure.

Each image's degradation is drawn from the experiment's seed and the image's key, so every model sees the same LR
image and a repeated evaluation yields the same numbers.
"""

import io
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.datasets.manifest import ImageRecord
from pipelines.datasets.scenes_config import ScenesConfig
from pipelines.stages.measure import Measure, MeasureBands
from pipelines.stages.reader import patch_reader
from pipelines.stages.stretch import as_picture, stretched
from rssr.degradation import DegradationConfig, degrade, lr_size
from rssr.errors import DataError
from rssr.inference import ColorMatching, super_resolve
from rssr.methods.paths import ImagePath
from rssr.metrics.fidelity import SSIM_WINDOW
from rssr.metrics.paired import PairedDifference, paired_difference
from rssr.models.loaded import LoadedModel
from rssr.seeds import derive_seed
from rssr.tiling import output_size

log = logging.getLogger(__name__)

Pixels = npt.NDArray[Any]
"""uint8 [H, W, 3], or of Sentinel-2 products network values, float32 [H, W, C]."""
Upscaler = Callable[[Pixels, tuple[int, int]], Pixels]


@dataclass(frozen=True)
class WithHr:
    """What makes an image of LR and HR image: no super-resolution, but a bound of one."""

    run: Callable[[Pixels, Pixels], Pixels]


_RGB = ("red", "green", "blue")

LOSSLESS_DB = 100.0
"""What an infinite PSNR (of an image without any error) counts in means."""


@dataclass(frozen=True)
class EvaluationSpec:
    """How images are prepared and measured.

    Attributes:
        scale: HR/LR ratio.
        degradation: How LR images are made.
        seed: Seed of the experiment.
        max_side: Larger images are cropped to this side around their centre.
        border: Pixels cut from every side before measuring.
        num_draws: LR images made of each HR image; metrics are means over them.
        scenes: How Sentinel-2 products are read; None for pictures.
    """

    scale: float
    degradation: DegradationConfig
    seed: int
    max_side: int
    border: int
    num_draws: int = 1
    scenes: ScenesConfig | None = None

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the images' bands."""
        return _RGB if self.scenes is None else self.scenes.bands

    @property
    def measure(self) -> Measure | MeasureBands:
        """What suits the images."""
        return Measure(self.border) if self.scenes is None else MeasureBands(self.border, self.scenes.bands)


@dataclass(frozen=True)
class EvaluatedImage:
    """One held-out image with what each model made of it at one scale; kept for the report's panels."""

    key: str
    lr: Pixels
    hr: Pixels
    sr: dict[str, Pixels]
    scale: float
    bands: tuple[str, ...] = _RGB

    def picture(self, pixels: Pixels) -> npt.NDArray[np.uint8]:
        """One of its images as a person is shown it, uint8 [H, W, 3]."""
        return as_picture(pixels, self.bands)


@dataclass(frozen=True)
class MetricTitle:
    """A metric's name in rows, and in words."""

    name: str
    title: str


_OF_LUMA = MetricTitle("psnr_y_db", "PSNR-Y"), MetricTitle("ssim_y", "SSIM-Y")
_OF_BANDS = MetricTitle("psnr_bands_db", "PSNR of the bands"), MetricTitle("ssim_bands", "SSIM of the bands")


@dataclass
class Evaluation:
    """Results of all models on all images.

    Attributes:
        rows: One entry an image, model and scale: `key`, `model`, `scale` and the metrics.
        examples: A few images for panels.
        paths: Of the models, those that are further paths of the trained one's networks, with what each is.
    """

    rows: list[dict[str, float | str]] = field(default_factory=list)
    examples: list[EvaluatedImage] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)

    @property
    def scales(self) -> tuple[float, ...]:
        """Scales that were measured, ascending."""
        return tuple(sorted({float(row["scale"]) for row in self.rows}))

    @property
    def fidelity(self) -> tuple["MetricTitle", "MetricTitle"]:
        """The two metrics that tell of fidelity, with their titles: on luma, or of all bands where there is no luma."""
        return _OF_LUMA if _OF_LUMA[0].name in self.rows[0] else _OF_BANDS

    def means(self, scale: float | None = None) -> dict[str, dict[str, float]]:
        """Mean of each metric by model, in order of first appearance; an infinite PSNR counts as 100 dB.

        Args:
            scale: Of this scale alone; None takes all rows.
        """
        rows = [row for row in self.rows if scale is None or row["scale"] == scale]
        models = list(dict.fromkeys(str(row["model"]) for row in rows))
        return {model: _means_of([row for row in rows if row["model"] == model]) for model in models}

    def labelled_means(self) -> dict[str, dict[str, float]]:
        """`means` by model, or by `MODEL/xSCALE` where several scales were measured: no mean is over scales."""
        if len(self.scales) < 2:
            return self.means()
        return {f"{model}/x{scale:g}": values for scale in self.scales for model, values in self.means(scale).items()}

    def difference(self, model: str, reference: str, metric: str, scale: float) -> PairedDifference | None:
        """By how much a model's metric exceeds another's on the images that both have at a scale; None if below two."""
        mine, theirs = (self.values(name, metric, scale) for name in (model, reference))
        shared = [key for key in mine if key in theirs]
        return paired_difference([mine[key] for key in shared], [theirs[key] for key in shared])

    def add(self, other: "Evaluation") -> None:
        """Take over what another evaluation found."""
        self.rows += other.rows
        self.examples += other.examples
        self.paths |= other.paths

    def values(self, model: str, metric: str, scale: float) -> dict[str, float]:
        """One model's metric by image, at one scale; an infinite PSNR counts as 100 dB."""
        rows = (row for row in self.rows if row["model"] == model and row["scale"] == scale)
        return {str(row["key"]): _finite(float(row[metric])) for row in rows}

    def to_parquet(self) -> bytes:
        """The rows as a Parquet file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(self.rows), buffer)
        return buffer.getvalue()


def evaluate(
    images: Sequence[ImageRecord],
    sources: Sequence[str],
    upscalers: Mapping[str, Upscaler | WithHr],
    spec: EvaluationSpec,
    num_examples: int = 4,
    on_image: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Measure every model on every image; those too small for it are left out with a warning.

    Args:
        images: Held-out images.
        sources: Their data locations.
        upscalers: Models by name.
        spec: How images are prepared and measured.
        num_examples: Images kept for panels, spread over the list, where classes stand together.
        on_image: Called with the number of images done.

    Raises:
        DataError: No image is large enough, or one has changed since the manifest was written.
    """
    reader = patch_reader(images, sources, spec.scenes)
    evaluation = Evaluation()
    for number, record in enumerate(images):
        pixels = reader.read_image(number)
        if is_measurable(pixels, spec):
            draws = [prepare_pair(record.key, pixels, spec, draw) for draw in range(spec.num_draws)]
            evaluation.rows += _mean_rows([_measure(image, upscalers, spec) for image in draws])
            image = draws[0]
            if len(evaluation.examples) <= number * num_examples // len(images):
                evaluation.examples.append(image)
        else:
            log.warning("%s is too small to be measured: %d x %d pixels", record.key, *pixels.shape[:2])
        on_image(number + 1)
    if not evaluation.rows:
        raise DataError(
            f"None of the {len(images)} held-out images is large enough to be measured.",
            "Hold out larger images, or lower evaluation.border.",
        )
    return evaluation


def _measure(
    image: EvaluatedImage, upscalers: Mapping[str, Upscaler | WithHr], spec: EvaluationSpec
) -> list[dict[str, float | str]]:
    measure = spec.measure
    rows: list[dict[str, float | str]] = []
    for model, upscale in upscalers.items():
        if isinstance(upscale, WithHr):
            sr = upscale.run(image.lr.copy(), image.hr.copy())
        else:
            sr = upscale(image.lr.copy(), (image.hr.shape[0], image.hr.shape[1]))
        measured = measure({"sr": sr, "hr": image.hr})
        rows.append({"key": image.key, "model": model, "scale": image.scale, **measured})
        image.sr[model] = sr
    return rows


def prepare_pair(key: str, pixels: Pixels, spec: EvaluationSpec, draw: int = 0) -> EvaluatedImage:
    """Crop an image to a size that models return exactly, and make its LR image, one of many for each number `draw`."""
    height, width = (_cropped_side(side, spec) for side in pixels.shape[:2])
    hr = centre_of(pixels, (height, width))
    number = (draw,) if draw else ()  # the first stays what it was when there was only one
    lr = degrade(hr, spec.scale, spec.degradation, derive_seed(spec.seed, "evaluation", key, *number))
    if spec.scenes is not None:
        hr, lr = (stretched(image, spec.scenes.value_stretch) for image in (hr, lr))
    return EvaluatedImage(key, lr, hr, {}, spec.scale, spec.bands)


def centre_of(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """The part of an image [H, W, C] around its centre that has this height and width."""
    top, left = ((side - kept) // 2 for side, kept in zip(pixels.shape[:2], size, strict=True))
    return np.ascontiguousarray(pixels[top : top + size[0], left : left + size[1]])


def constant_colour(lr: Pixels, size: tuple[int, int]) -> Pixels:
    """The baseline that knows nothing but the mean colour of the LR image."""
    colour = lr.reshape(-1, lr.shape[-1]).mean(axis=0)
    colour = (colour.round() if lr.dtype == np.uint8 else colour).astype(lr.dtype)
    return np.broadcast_to(colour, (*size, lr.shape[-1])).copy()


def upscaler_of(model: LoadedModel, scale: float, color_match: ColorMatching = "none", seed: int = 0) -> Upscaler:
    """Whole-image super-resolution by a model, on images [h, w, C]; colours stay as the network gives them.

    Args:
        model: The model.
        scale: HR/LR ratio.
        color_match: How colours are matched to LR.
        seed: Of the noise of a model that draws some.
    """

    def upscale(lr: Pixels, size: tuple[int, int]) -> Pixels:
        bands_first = super_resolve(np.moveaxis(lr, -1, 0), model, scale, color_match=color_match, seed=seed)
        sr = np.moveaxis(bands_first, 0, -1)
        return _of_size(np.ascontiguousarray(sr), size, model.name)

    return upscale


def upscaler_along(path: ImagePath, scale: float) -> WithHr:
    """A further path of a method, on images [h, w, C]."""

    def run(lr: Pixels, hr: Pixels) -> Pixels:
        return _of_size(path.run(lr, hr, scale), (hr.shape[0], hr.shape[1]), path.name)

    return WithHr(run)


def _of_size(sr: Pixels, size: tuple[int, int], name: str) -> Pixels:
    if sr.shape[:2] != size:
        raise RuntimeError(f"{name} made {sr.shape[:2]} pixels where {size} were asked for")
    return sr


def is_measurable(pixels: Pixels, spec: EvaluationSpec) -> bool:
    """Whether an image, cropped as `prepare_pair` does, is large enough for the metrics."""
    return min(_cropped_side(side, spec) for side in pixels.shape[:2]) >= SSIM_WINDOW + 2 * spec.border


def _cropped_side(side: int, spec: EvaluationSpec) -> int:
    """The largest side that comes back from its LR side; 0 where there is none (a scale need not be whole)."""
    for kept in range(min(side, spec.max_side), math.ceil(spec.scale) - 1, -1):
        if output_size(lr_size((kept, kept), spec.scale), spec.scale) == (kept, kept):
            return kept
    return 0


def _mean_rows(rows_of_draws: Sequence[Sequence[Mapping[str, float | str]]]) -> list[dict[str, float | str]]:
    """One row a model, whose metrics are means over the draws of one image."""
    rows: list[dict[str, float | str]] = []
    for of_model in zip(*rows_of_draws, strict=True):
        first = of_model[0]
        means = _means_of(of_model) if len(of_model) > 1 else {}
        rows.append({**first, **means})
    return rows


def _means_of(rows: Sequence[Mapping[str, float | str]]) -> dict[str, float]:
    names = [name for name in rows[0] if name not in ("key", "model", "scale")]
    return {name: fmean(_finite(float(row[name])) for row in rows) for name in names}


def _finite(value: float) -> float:
    return LOSSLESS_DB if value == math.inf else value

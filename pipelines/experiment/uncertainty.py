"""How well the trained model's error bars hold, for its card and for the report."""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.manifest import ImageRecord
from pipelines.evaluation.comparison import EvaluationSpec, Pixels, is_measurable, prepare_pair
from pipelines.experiment.training import Plan
from pipelines.progress import Progress
from pipelines.report import Part, notice, panels, prose
from pipelines.report.reliability import is_close, reliability_curves, reliability_table, verdict
from pipelines.stages.reader import patch_reader
from rssr.card import TrainingManifest, Uncertainty
from rssr.inference import super_resolve
from rssr.inference.chosen_model import gives_deviation
from rssr.metrics.reliability import Reliability, ReliabilityTally
from rssr.models.loaded import LoadedModel
from rssr.value_map import ValueMap

log = logging.getLogger(__name__)

_NUM_EXAMPLES = 3
_UNIT = "grey levels"
_LEAST = 1e-3  # grey levels: where samples agree exactly, an error bar that was never fitted is 0


@dataclass(frozen=True)
class UncertainImage:
    """One image with its error and its error bars, for the report.

    Attributes:
        key: Of the image.
        sr: As shown, uint8 [H, W, 3].
        error: Root mean square over the bands, [H, W], in the unit of the values.
        deviation: The same of the error bars.
        unit: Of both.
    """

    key: str
    sr: Pixels
    error: NDArray[np.float32]
    deviation: NDArray[np.float32]
    unit: str = _UNIT


@dataclass(frozen=True)
class MeasuredUncertainty:
    """Error bars of a model against its errors on images that they were not fitted on.

    Attributes:
        num_images: Images measured.
        num_fitted: Other held-out images, which the error bars were fitted on; 0 where nothing was fitted, and an error
            bar is how much samples differ.
        scales: HR/LR ratios measured.
        reliability: What was found, in the unit.
        examples: A few images for panels.
        unit: Grey levels of 255, or reflectance.
    """

    num_images: int
    num_fitted: int
    scales: tuple[float, ...]
    reliability: Reliability
    examples: tuple[UncertainImage, ...] = field(default=(), repr=False)
    unit: str = _UNIT

    @property
    def is_fitted(self) -> bool:
        """Whether the error bars were fitted at all."""
        return self.num_fitted > 0

    def metrics(self) -> dict[str, float]:
        """Single numbers, as MLflow gets them."""
        return {f"uncertainty/{name}": value for name, value in self.reliability.metrics().items()}

    def to_json(self) -> bytes:
        """All numbers, for other programs."""
        values = {name: getattr(self, name) for name in ("num_images", "num_fitted", "scales")}
        values["reliability"] = asdict(self.reliability)
        return json.dumps(values, indent=1).encode()


def measure_uncertainty(plan: Plan, model: LoadedModel, specs: Sequence[EvaluationSpec]) -> MeasuredUncertainty | None:
    """Compare error bars with errors on held-out images, of which those that they were fitted on are left out.

    Colours are not matched.

    Args:
        plan: Names the images.
        model: The trained model.
        specs: How images are prepared, one entry a scale.

    Returns:
        What was found; None where the model has no error bars, or no image is large enough.
    """
    scenes = plan.config.data.scenes
    if not gives_deviation(model) or (scenes is not None and scenes.stretch.gamma != 1):
        return None  # with a gamma, a length in network units is none in reflectance
    fitted = fitted_images(plan)
    judged = plan.manifest.half_of_test_images("report") if fitted else plan.manifest.test_images()
    images = judged[: plan.config.evaluation.num_images]
    reader = patch_reader(images, plan.manifest.sources, scenes)
    tally, keys, examples = ReliabilityTally(), set[str](), list[UncertainImage]()
    work = [(number, spec) for spec in specs for number in range(len(images))]
    with Progress("uncertainty", total=len(work)) as progress:
        for done, (number, spec) in enumerate(work, start=1):
            pixels = reader.read_image(number)
            if is_measurable(pixels, spec):
                shown = _tally_image(tally, images[number].key, pixels, model, spec)
                keys.add(shown.key)
                examples += [shown] if len(examples) < _NUM_EXAMPLES else []
            progress.update(done)
    if not keys:
        log.warning("no image kept for judging the error bars is large enough: the card will not tell how they hold")
        return None
    scales = tuple(spec.scale for spec in specs)
    return MeasuredUncertainty(len(keys), len(fitted), scales, tally.result(), tuple(examples), _unit_of(specs))


def uncertainty_facts(plan: Plan, measured: MeasuredUncertainty, images_file: str) -> Uncertainty:
    """What the card says; `images_file` is the list in the model folder of images that error bars were fitted on."""
    found = measured.reliability
    fitted_on = TrainingManifest(
        uri=f"{plan.home.uri}/{plan.manifest_key}",
        digest=plan.manifest.digest,
        split="test, half 'fit'",
        num_images=measured.num_fitted,
    )
    return Uncertainty(
        fitted_on=fitted_on if measured.is_fitted else None,
        fitted_images_sha256=images_file if measured.is_fitted else None,
        num_images=measured.num_images,
        reliability=tuple((group.deviation, group.rmse) for group in found.bins),
        **{name: value for name, value in found.metrics().items() if name != "num_values"},
    )


def fitted_images(plan: Plan) -> tuple[ImageRecord, ...]:
    """Held-out images that the product's error bars were fitted on; none where its phase fits nothing."""
    if not plan.method.training_config(plan.product).fits_held_out:
        return ()
    return plan.manifest.half_of_test_images("fit")


def uncertainty_parts(measured: MeasuredUncertainty) -> Iterable[Part]:
    """The report's section."""
    found = measured.reliability
    yield notice(verdict(found), "good" if found.likelihood_gain > 0 and is_close(found) else "warning")
    yield prose(_what_it_is(measured))
    yield reliability_table({"found": found})
    yield from reliability_curves({"found": found}, measured.unit)
    yield panels([(image.key, _pictures(image)) for image in measured.examples])


def _what_it_is(measured: MeasuredUncertainty) -> str:
    unit = "grey levels of 255" if measured.unit == _UNIT else measured.unit
    if not measured.is_fitted:
        return (
            f"An error bar is how much samples of one input differ, in {unit}: their deviation. It was not "
            "fitted to errors, which are larger where all samples err alike; the phase 'deviation' does that. It is "
            f"judged here on {measured.num_images} held-out images. Colours are not matched."
        )
    return (
        f"An error bar is the half-width that holds 68 % of the errors of one pixel and band, in {unit}. It "
        f"was fitted on {measured.num_fitted} of the held-out images and is judged here on {measured.num_images} "
        "others; the network was trained on neither. Errors have heavier tails than normal ones, so the root of their "
        "mean square lies above the error bar where this holds. Colours are not matched."
    )


def _tally_image(
    tally: ReliabilityTally, key: str, pixels: Pixels, model: LoadedModel, spec: EvaluationSpec
) -> UncertainImage:
    pair = prepare_pair(key, pixels, spec)
    lr, hr = (np.moveaxis(image, -1, 0) for image in (pair.lr, pair.hr))
    sr, deviation = super_resolve(lr, model, spec.scale, color_match="none", return_uncertainty=True)
    error, least, unit = sr.astype(np.float32) - hr, _LEAST, _unit_of([spec])
    if spec.scenes is not None:
        to_reflectance = spec.scenes.value_stretch.deviation_from_network
        error, deviation, least = to_reflectance(error), to_reflectance(deviation), _LEAST / 255
    tally.add(np.maximum(deviation, least), error)
    shown = pair.picture(np.ascontiguousarray(np.moveaxis(sr, 0, -1)))
    return UncertainImage(key, shown, _over_bands(error), _over_bands(deviation), unit)


def _unit_of(specs: Sequence[EvaluationSpec]) -> str:
    return _UNIT if specs[0].scenes is None else "reflectance"


def _over_bands(values: NDArray[np.float32]) -> NDArray[np.float32]:
    root: NDArray[np.float32] = np.sqrt(np.square(values).mean(axis=0))
    return root


def _pictures(image: UncertainImage) -> dict[str, Pixels | ValueMap]:
    """Error and error bar on one scale, so that they can be compared."""
    limits = (0.0, float(np.percentile(image.error, 99)))
    return {
        "super-resolved": image.sr,
        "error": ValueMap(image.error, image.unit, limits),
        "error bar": ValueMap(image.deviation, image.unit, limits),
    }

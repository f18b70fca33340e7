"""After training: compare with baselines, register the model, super-resolve a scene."""

import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from pipelines.datasets.manifest import ImageRecord
from pipelines.datasets.scenes_config import ScenesConfig
from pipelines.evaluation.comparison import (
    Evaluation,
    EvaluationSpec,
    Upscaler,
    WithHr,
    constant_colour,
    evaluate,
    upscaler_along,
    upscaler_of,
)
from pipelines.experiment.config import JobConfig
from pipelines.experiment.tile_scene import SAMPLE, measure_tiles
from pipelines.experiment.training import Plan, phases_below
from pipelines.experiment.uncertainty import MeasuredUncertainty, fitted_images, uncertainty_facts
from pipelines.progress import Progress
from pipelines.storage import local_path, open_store
from rssr.card import ModelCard, TrainingManifest
from rssr.errors import DataError
from rssr.inference import super_resolve_scene
from rssr.inference.bands import select_bands
from rssr.inference.chosen_model import gives_deviation
from rssr.inference.files import is_product, open_scene
from rssr.inference.reflectance import bands_for, values_of
from rssr.methods.paths import ImagePath, OffersPaths, Pixels
from rssr.methods.phase import PhaseInputs
from rssr.models.loaded import LoadedModel, load_model
from rssr.models.registry import build_resolver, create_model
from rssr.raster import write_geotiff
from rssr.scenes import write_scene_geotiff
from rssr.seeds import derive_seed
from rssr.weights.folder import load_model_folder, save_model_folder

log = logging.getLogger(__name__)

BASELINES = ("constant colour", "bicubic", "untrained")
_TRAINING_IMAGES = "training_images.txt"
_UNCERTAINTY_IMAGES = "uncertainty_images.txt"
_NUM_EXAMPLES = 4


@dataclass(frozen=True)
class Trained:
    """A trained model as a local folder, and ready to run."""

    folder: Path
    model: LoadedModel


def open_trained(plan: Plan, work: Path, device: str = "cpu") -> Trained:
    """The model that the last of the selected phases exported; `work` is a place for copies."""
    folder = plan.folder(plan.product).fetch_output(work)
    return Trained(folder, load_model(folder, device))


def compare(plan: Plan, trained: Trained) -> Evaluation:
    """Measure the trained model and the baselines on the held-out images, at each scale in turn."""
    models: dict[str, LoadedModel | ImagePath] = {
        "bicubic": load_model("bicubic"),
        "untrained": _untrained(trained.model, plan.config.seed),
    }
    with tempfile.TemporaryDirectory(prefix="rssr-paths-") as work:
        models |= {path.name: path for path in (*_further_paths(plan, Path(work)), *_matched(plan, trained.model))}
        models[trained.model.name] = trained.model
        return measure(plan, models, {"constant colour": constant_colour})


def _further_paths(plan: Plan, work: Path) -> Sequence[ImagePath]:
    """What the method offers beside the trained model; `work` is a place for copies."""
    method = plan.method
    if not isinstance(method, OffersPaths):
        return ()
    finished = [name for name in phases_below(method, [plan.product]) if plan.folder(name).record() is not None]
    folders = {name: plan.folder(name).fetch_output(work) for name in finished}
    return method.image_paths(PhaseInputs(folders, torch.device("cpu")), plan.product)


def _matched(plan: Plan, model: LoadedModel) -> Sequence[ImagePath]:
    """The trained model with the colours of its products, where they are matched."""
    matching = plan.config.product.color_match
    if matching == "none":
        return ()

    def run(lr: Pixels, hr: Pixels, scale: float) -> Pixels:
        return upscaler_of(model, scale, matching)(lr, (hr.shape[0], hr.shape[1]))

    meaning = f"the trained model's images, their colours matched to LR as in its products (color_match: {matching})"
    return (ImagePath("matched colours", meaning, run),)


def measure(
    plan: Plan, models: Mapping[str, LoadedModel | ImagePath], plain: Mapping[str, Upscaler] = MappingProxyType({})
) -> Evaluation:
    """Measure models on the held-out images, at each scale in turn. LR images are equal for equal plans' data.

    Args:
        plan: Names the images and how they are degraded.
        models: By the name they shall have in the results; further paths of a method among them.
        plain: What else upscales, likewise; comes first.
    """
    config = plan.config
    images = plan.manifest.test_images()[: config.evaluation.num_images]
    scales = config.evaluation_scales
    evaluation = Evaluation(paths={name: path.meaning for name, path in models.items() if isinstance(path, ImagePath)})
    with Progress("evaluation", total=len(images) * len(scales)) as progress:
        for number, scale in enumerate(scales):
            upscalers = dict(plain) | {name: _at_scale(model, scale) for name, model in models.items()}
            done = partial(_count, progress, number * len(images))
            spec, num_examples = evaluation_spec(config, scale), max(1, _NUM_EXAMPLES // len(scales))
            evaluation.add(evaluate(images, plan.manifest.sources, upscalers, spec, num_examples, done))
    return evaluation


def _at_scale(model: LoadedModel | ImagePath, scale: float) -> Upscaler | WithHr:
    return upscaler_along(model, scale) if isinstance(model, ImagePath) else upscaler_of(model, scale)


def with_card(
    trained: Trained,
    plan: Plan,
    means: Mapping[str, Mapping[str, float]],
    target: Path,
    uncertainty: MeasuredUncertainty | None = None,
) -> ModelCard:
    """Copy the model into a new folder with its card; returns the card. `target` lies where copies may go."""
    config = plan.config
    held = load_model_folder(trained.folder)
    training = plan.manifest.split("train")
    num_parameters = sum(value.numel() for value in held.state.values())
    manifest = TrainingManifest(
        uri=f"{plan.home.uri}/{plan.manifest_key}",
        digest=plan.manifest.digest,
        split="train",
        num_images=len(training),
    )
    promised = _promised_card(config, plan.method.name)
    card = promised.model_copy(
        update={
            "tile_dependence": measure_tiles(plan, trained.model, promised, target.parent),
            "architecture": f"{held.name}, {num_parameters:,} parameters",
            "training_manifests": (manifest,),
            "training_images_sha256": _TRAINING_IMAGES,
            "uncertainty": uncertainty and uncertainty_facts(plan, uncertainty, _UNCERTAINTY_IMAGES),
            "metrics": {f"{model}/{name}": value for model, row in means.items() for name, value in row.items()},
        }
    )
    assert trained.model.network is not None  # a trained model has a network
    attachments = {_TRAINING_IMAGES: _list_of(training)}
    if uncertainty is not None and uncertainty.is_fitted:
        attachments[_UNCERTAINTY_IMAGES] = _list_of(fitted_images(plan))
    save_model_folder(target, held.name, held.architecture, trained.model.network, card, attachments)
    return card


def check_scenes(config: JobConfig, method: str) -> None:
    """Find out before training whether scenes can be super-resolved after it; remote ones are only looked up.

    Raises:
        UserError: There is no such scene, or its bands or values are not what the model will take.
    """
    for key in ("scene", "tile_scene"):
        scene: str | None = getattr(config.product, key)
        if scene not in (SAMPLE, None):
            _check_scene(config, method, f"product.{key}", scene)


def _check_scene(config: JobConfig, method: str, key: str, scene: str) -> None:
    path = local_path(scene)
    if not (path.is_file() or is_product(path) if path is not None else _exists(scene)):
        raise DataError(f"There is no scene {scene}.", f"Correct {key}, or leave it out for a procedural scene.")
    if path is None:
        return
    card = _promised_card(config, method)
    stand_in = replace(load_model("bicubic"), name=card.name, card=card)
    with open_scene(path, bands_for(stand_in)) as reader:
        select_bands(stand_in, reader.info.band_names, str(path))
        values_of(reader, list(range(reader.info.num_bands)), stand_in)


@dataclass(frozen=True)
class Product:
    """The super-resolved scene.

    Attributes:
        uri: Where it lies.
        uncertainty_uri: Where its error bars lie; None where the model gives none.
        lr_scene: Local copy of the LR scene.
        path: Local copy of the product.
    """

    uri: str
    uncertainty_uri: str | None
    lr_scene: Path
    path: Path


def make_product(plan: Plan, model: LoadedModel, work: Path) -> Product:
    """Super-resolve the configured scene, with error bars where the model gives them.

    Args:
        plan: Names the scene.
        model: With its card, which says how to tile.
        work: Where local copies go.
    """
    config = plan.config
    scale = config.product_scale
    scene = _scene(plan, work)
    product = work / f"{scene.stem}_x{scale:g}.tif"
    uncertainty = product.with_name(f"{product.stem}_uncertainty.tif") if gives_deviation(model) else None
    super_resolve_scene(scene, product, model, scale, uncertainty_path=uncertainty)
    uri = _publish(plan, product)
    return Product(uri, None if uncertainty is None else _publish(plan, uncertainty), scene, product)


def _publish(plan: Plan, product: Path) -> str:
    key = f"products/{plan.digests[plan.product][:16]}/{product.name}"
    plan.home.upload_file(product, key)
    return f"{plan.home.uri}/{key}"


def _list_of(records: Iterable[ImageRecord]) -> bytes:
    return "".join(f"{digest}\n" for digest in sorted(record.sha256 for record in records)).encode()


def evaluation_spec(config: JobConfig, scale: float) -> EvaluationSpec:
    """How held-out images are prepared and measured at a scale."""
    return EvaluationSpec(
        scale=scale,
        degradation=config.data.degradation,
        seed=config.seed,
        max_side=config.evaluation.max_side,
        border=config.evaluation.border,
        num_draws=config.evaluation.num_draws,
        scenes=config.data.scenes,
    )


def _count(progress: Progress, before: int, done: int) -> None:
    progress.update(before + done)


def _scene(plan: Plan, work: Path) -> Path:
    config, product = plan.config, plan.config.product
    if product.scene == SAMPLE and config.data.scenes is not None:
        return _held_out_square(plan, config.data.scenes, work)
    if product.scene == SAMPLE:
        path = work / "sample_scene.tif"
        sample = product.sample
        write_scene_geotiff(path, derive_seed(config.seed, "scene"), sample.height, sample.width, gsd_m=sample.gsd_m)
        return path
    if (local := local_path(product.scene)) is not None:
        return local
    parent, _, name = product.scene.rpartition("/")
    path = work / name
    open_store(parent).download_file(name, path)
    return path


def _held_out_square(plan: Plan, scenes: ScenesConfig, work: Path) -> Path:
    """The first square of a product that the model has not seen, as it is: reflectance on its map."""
    from pipelines.stages.read_scenes import ReadScenePatches  # GDAL takes a while to load

    path = work / "held_out_square.tif"
    write_geotiff(path, ReadScenePatches(plan.manifest.test_images(), plan.manifest.sources, scenes).read_raster(0))
    return path


def _exists(uri: str) -> bool:
    parent, _, name = uri.rpartition("/")
    return open_store(parent).exists(name)


def _promised_card(config: JobConfig, method: str) -> ModelCard:
    """What is known of a model before it is trained."""
    scenes, values = config.data.scenes, dict[str, Any]()
    if scenes is not None:
        stretch = scenes.value_stretch
        values = {"dtype": "float32", "value_range": (min(stretch.low), max(stretch.high)), "stretch": stretch}
    return ModelCard(
        **values,
        name=config.registry.name,
        method=method,
        bands=list(config.data.bands),
        scale_range=config.data.scale_range,
        tile_size=config.product.tile_size,
        halo=config.product.halo,
        color_match=config.product.color_match,
        licence=config.registry.licence,
        notes="Generative: the output shows plausible detail, not measured detail.",
    )


def _untrained(model: LoadedModel, seed: int) -> LoadedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "untrained"))
        network = create_model(model.name, **model.architecture).eval()
    return LoadedModel(model.name, build_resolver(model.name, network), network, model.architecture, None)

"""After training: compare with baselines, register the model, super-resolve a scene."""

import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.evaluate import Evaluation, EvaluationSpec, constant_colour, evaluate, upscaler_of
from pipelines.experiment.config import JobConfig
from pipelines.experiment.training import Plan
from pipelines.progress import Progress
from pipelines.storage import local_path, open_store
from rssr.card import ModelCard, TrainingManifest
from rssr.inference import super_resolve_scene
from rssr.models.loaded import LoadedModel, load_model
from rssr.models.registry import build_resolver, create_model
from rssr.scenes import write_scene_geotiff
from rssr.seeds import derive_seed
from rssr.weights.folder import load_model_folder, save_model_folder

log = logging.getLogger(__name__)

BASELINES = ("constant colour", "bicubic", "untrained")
_TRAINING_IMAGES = "training_images.txt"
_RGB = ["red", "green", "blue"]


@dataclass(frozen=True)
class Trained:
    """A trained model as a local folder, and ready to run."""

    folder: Path
    model: LoadedModel


def open_trained(plan: Plan) -> Trained:
    """The model that the method's last phase exported."""
    folder = plan.folder(plan.method.product_phase).fetch_output()
    return Trained(folder, load_model(folder))


def compare(plan: Plan, trained: Trained) -> Evaluation:
    """Measure the trained model and the baselines on the held-out images."""
    config = plan.config
    images = plan.manifest.test_images()[: config.evaluation.num_images]
    scale = config.data.scale_range[0]
    spec = EvaluationSpec(
        scale=scale,
        degradation=config.data.degradation,
        seed=config.seed,
        max_side=config.evaluation.max_side,
        border=config.evaluation.border,
    )
    upscalers = {
        "constant colour": constant_colour,
        "bicubic": upscaler_of(load_model("bicubic"), scale),
        "untrained": upscaler_of(_untrained(trained.model, config.seed), scale),
        trained.model.name: upscaler_of(trained.model, scale),
    }
    with Progress("evaluation", total=len(images)) as progress:
        return evaluate(images, plan.manifest.sources, upscalers, spec, on_image=progress.update)


def with_card(trained: Trained, plan: Plan, means: Mapping[str, Mapping[str, float]], target: Path) -> ModelCard:
    """Copy the model into a new folder with its card; returns the card."""
    config = plan.config
    held = load_model_folder(trained.folder)
    low, high = config.data.scale_range
    training = plan.manifest.split("train")
    num_parameters = sum(value.numel() for value in held.state.values())
    card = ModelCard(
        name=config.registry.name,
        method=plan.method.name,
        architecture=f"{held.name}, {num_parameters:,} parameters",
        bands=_RGB,
        scale_range=(low, high),
        tile_size=config.product.tile_size,
        halo=config.product.halo,
        licence=config.registry.licence,
        training_manifests=(
            TrainingManifest(
                uri=f"{plan.home.uri}/{plan.manifest_key}",
                digest=plan.manifest.digest,
                split="train",
                num_images=len(training),
            ),
        ),
        training_images_sha256=_TRAINING_IMAGES,
        metrics={f"{model}/{name}": value for model, row in means.items() for name, value in row.items()},
        notes="Generative: the output shows plausible detail, not measured detail.",
    )
    assert trained.model.network is not None  # a trained model has a network
    digests = "".join(f"{digest}\n" for digest in sorted(record.sha256 for record in training))
    attachments = {_TRAINING_IMAGES: digests.encode()}
    save_model_folder(target, held.name, held.architecture, trained.model.network, card, attachments)
    return card


def make_product(plan: Plan, model: LoadedModel) -> tuple[str, Path, Path]:
    """Super-resolve the configured scene.

    Returns:
        URI of the product, and local copies of the LR scene and of the product for the report.
    """
    config = plan.config
    scale = config.data.scale_range[0]
    work = Path(tempfile.mkdtemp(prefix="rssr-product-"))
    scene = _scene(config, work)
    product = work / f"{scene.stem}_x{scale:g}.tif"
    super_resolve_scene(scene, product, model, scale)
    key = f"products/{plan.digests[plan.method.product_phase][:16]}/{product.name}"
    plan.home.upload_file(product, key)
    return f"{plan.home.uri}/{key}", scene, product


def _scene(config: JobConfig, work: Path) -> Path:
    product = config.product
    if product.scene == "sample":
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


def _untrained(model: LoadedModel, seed: int) -> LoadedModel:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "untrained"))
        network = create_model(model.name, **model.architecture).eval()
    return LoadedModel(model.name, build_resolver(model.name, network), network, model.architecture, None)


def discard(path: Path) -> None:
    """Remove a temporary folder."""
    shutil.rmtree(path, ignore_errors=True)

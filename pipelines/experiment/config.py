"""What every training job is configured by; each method's job adds its phases."""

from typing import Literal

from pydantic import Field

from pipelines.cluster import RayConfig
from pipelines.datasets.config import DataConfig
from pipelines.tracking.config import TrackingConfig
from rssr.configuration import Config


class OutputConfig(Config):
    """Where everything durable goes."""

    uri: str = "runs"
    """Root of runs, MLflow store, checkpoints, models and products: a folder, or s3://bucket/prefix. Inside a
    submitted Ray job it must be absolute or a URI."""


class EvaluationConfig(Config):
    """How the trained model is compared with simple baselines."""

    num_images: int | None = Field(default=None, ge=1)
    """Held-out images measured; null takes all."""
    max_side: int = Field(default=512, ge=32)
    """Larger images are cropped to this side around their centre, HR pixels."""
    border: int = Field(default=4, ge=0)
    """Pixels cut from every side before measuring, HR pixels."""


class SampleSceneConfig(Config):
    """A procedural georeferenced scene to super-resolve where the user gives none."""

    height: int = Field(default=192, ge=16)
    """Height, LR pixels."""
    width: int = Field(default=256, ge=16)
    """Width, LR pixels."""
    gsd_m: float = Field(default=1.6, gt=0)
    """Ground sample distance of the LR scene, metres."""


class ProductConfig(Config):
    """The scene that is super-resolved at the end."""

    scene: str = "sample"
    """GeoTIFF or image to super-resolve: a path, a URI, or `sample` for a procedural georeferenced scene."""
    sample: SampleSceneConfig = SampleSceneConfig()
    """The procedural scene."""
    tile_size: int = Field(default=128, ge=8)
    """Side of an inference tile, LR pixels; goes to the model's card."""
    halo: int = Field(default=16, ge=0)
    """Context on each side of a tile, LR pixels; goes to the model's card."""
    color_match: Literal["none", "scene"] = "scene"
    """Whether each band's mean and deviation are brought to those of the LR scene, once per scene so that tiles do
    not differ; goes to the model's card. Reported metrics are measured without it."""


class RegistryConfig(Config):
    """How the model is registered in MLflow."""

    name: str = Field(min_length=1)
    """Registered model, e.g. slimdiffsr-x4; reduced widths carry -quickstart, four bands -rgbn."""
    licence: str = "Apache-2.0"
    """Licence of the trained weights; name that of the training images and pretrained weights if stricter."""


class WorkerConfig(Config):
    """Resources of one training worker."""

    num_cpus: float = Field(default=1, gt=0)
    """CPU cores a worker reserves."""
    num_gpus: float = Field(default=0, ge=0)
    """GPUs a worker reserves."""
    num_threads: int = Field(default=1, ge=1)
    """Threads of CPU arithmetic; part of what makes results bit-identical."""
    max_failures: int = Field(default=2, ge=0)
    """Restarts after a lost worker before the phase gives up; each goes on from the last checkpoint."""


class JobConfig(Config):
    """Keys that all training jobs share."""

    output: OutputConfig = OutputConfig()
    """Where everything durable goes."""
    data: DataConfig
    """Images and how they are degraded."""
    phases: tuple[str, ...] | None = None
    """Phases to run, in order; null runs all. Finished ones with the same digest are not run again."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything random."""
    fresh: bool = False
    """Forget finished phases, checkpoints and the MLflow run of this configuration, and start over."""
    ray: RayConfig = RayConfig()
    """How to reach Ray."""
    mlflow: TrackingConfig = TrackingConfig()
    """Experiment tracking."""
    num_workers: int = Field(default=1, ge=0)
    """Training workers under Ray Train; 0 trains in this process, without Ray."""
    worker: WorkerConfig = WorkerConfig()
    """Resources of one training worker."""
    num_validation_patches: int = Field(default=16, ge=1)
    """Held-out patches that each validation measures."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Comparison with baselines after training."""
    product: ProductConfig = ProductConfig()
    """Scene super-resolved at the end."""
    registry: RegistryConfig
    """Registered model."""

"""What every training job is configured by; each method's job adds its phases."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.cluster import RayConfig
from pipelines.datasets.config import DataConfig
from pipelines.tracking.config import TrackingConfig
from rssr.configuration import Config

_USUAL_SCALE = 4.0


class OutputConfig(Config):
    """Where everything durable goes."""

    uri: str = "runs"
    """Root of runs, MLflow store, checkpoints, models and products: a folder, or s3://bucket/prefix. Inside a
    submitted Ray job it must be absolute or a URI."""


class EvaluationConfig(Config):
    """How the trained model is compared with simple baselines."""

    num_images: int | None = Field(default=None, ge=1)
    """Held-out images measured; null takes all."""
    scales: tuple[float, ...] | None = Field(default=None, min_length=1)
    """HR/LR size ratios at which they are measured, within data.scale. Null takes data.scale where that is fixed; of
    a range both ends and those of 2, 3.4, 4 and 8 between them, but not 1, at which nothing is enlarged."""
    max_side: int = Field(default=512, ge=32)
    """Larger images are cropped to this side around their centre, HR pixels."""
    border: int = Field(default=4, ge=0)
    """Pixels cut from every side before measuring, HR pixels."""
    num_draws: int = Field(default=1, ge=1)
    """LR images made of each held-out image, by different draws of the degradation; metrics are means over them. With
    few images, how strongly each happens to be degraded moves a mean by a tenth of a dB."""


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
    tile_scene: str | None = None
    """Scene in which tiles of 256 and of 512 LR pixels are compared after training, for the model's card: a path or URI
    of a GeoTIFF or image larger than these, or `sample` for a procedural one of three bands. Null compares nothing: a
    tile of 512 pixels at scale 4 takes gigabytes, 9 of them with the quickstart of LDCSR. `benchmarks/tiles.py` does
    the same for a model at any later time."""
    scale: float | None = None
    """Enlargement of each side, within data.scale. Null takes data.scale where that is fixed; of a range 4, or the
    end nearest to it."""
    tile_size: int = Field(default=128, ge=8)
    """Side of an inference tile, LR pixels; goes to the model's card."""
    halo: int = Field(default=16, ge=0)
    """Context on each side of a tile, LR pixels; goes to the model's card."""
    color_match: Literal["none", "scene", "local"] = "scene"
    """How colours are matched to the LR scene: not; each band's mean and deviation, once per scene so that tiles do
    not differ; or whatever varies slowly, place by place. Goes to the model's card. Held-out images are measured
    without it, and once more with it."""


class RegistryConfig(Config):
    """How the model is registered in MLflow."""

    name: str = Field(min_length=1)
    """Registered model, e.g. slimdiffsr-x4; reduced widths carry -quickstart, four bands -rgbn."""
    licence: str = "Apache-2.0"
    """Licence of the trained weights; name that of the training images and pretrained weights if stricter."""


class ReportConfig(Config):
    """What the report shows besides results and losses."""

    pictures: bool = True
    """Whether the report shows what the method's networks do on held-out images, e.g. maps of their attention; takes
    seconds in the quickstart, a minute or so at published sizes, on the CPU of the process that writes the report."""


class PhaseRunConfig(Config):
    """How the phases are run."""

    dry_run: bool = False
    """Only report what each selected phase would take: parameters, multiply-accumulates and memory of one worker.
    Nothing is loaded, no image is read, Ray is not started and nothing is written."""


class WorkerConfig(Config):
    """Resources of one training worker."""

    num_cpus: float = Field(default=1, gt=0)
    """CPU cores a worker reserves."""
    num_gpus: float = Field(default=0, ge=0)
    """GPUs a worker reserves; with any, training in this process computes on the first."""
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
    phase: PhaseRunConfig = PhaseRunConfig()
    """How the phases are run."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything random."""
    fresh: bool = False
    """Forget finished phases, checkpoints and the MLflow run of this configuration, and start over."""
    ray: RayConfig = RayConfig()
    """How to reach Ray."""
    mlflow: TrackingConfig = TrackingConfig()
    """Experiment tracking."""
    num_workers: Annotated[int, Field(ge=0)] | tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]] = 1
    """Training workers under Ray Train; 0 trains in this process, without Ray. Of `[fewest, most]` there are as many as
    find room, and more when room comes; every micro-batch has `batch_size` pairs for each of the most, so fewer workers
    accumulate more. `[0, most]` does that in this process."""
    batch_size_of: Literal["worker", "step"] = "worker"
    """Whose image pairs `batch_size` counts. worker: those of each of the most workers in a micro-batch, so that more
    workers take larger steps. step: those of all together, so that steps stay what they are with any number of
    workers; each phase then trains on as many as its pairs can be dealt out to equally."""
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
    report: ReportConfig = ReportConfig()
    """The report of the run."""

    @property
    def workers(self) -> tuple[int, int]:
        """Fewest and most training workers."""
        return (self.num_workers, self.num_workers) if isinstance(self.num_workers, int) else self.num_workers

    @property
    def needs_ray(self) -> bool:
        """Whether phases are trained by workers of Ray."""
        return self.workers[0] > 0

    @property
    def evaluation_scales(self) -> tuple[float, ...]:
        """HR/LR size ratios at which held-out images are measured, ascending."""
        chosen = self.evaluation.scales
        return self.data.test_scales if chosen is None else tuple(sorted(set(chosen)))

    @property
    def product_scale(self) -> float:
        """Enlargement of the product."""
        low, high = self.data.scale_range
        return min(max(_USUAL_SCALE, low), high) if self.product.scale is None else self.product.scale

    @model_validator(mode="after")
    def _require_ordered_workers(self) -> Self:
        fewest, most = self.workers
        if fewest > most:
            raise ValueError(f"num_workers is [fewest, most], but {fewest} is more than {most}")
        return self

    @model_validator(mode="after")
    def _require_bands(self) -> Self:
        in_bands = getattr(self, "in_bands", 3)  # the methods' key; this class is mixed with theirs
        if in_bands != len(self.data.bands):
            told = ", ".join(self.data.bands)
            raise ValueError(f"in_bands is {in_bands}, but the images have {len(self.data.bands)} bands ({told})")
        return self

    @model_validator(mode="after")
    def _require_tile_scene_of_its_bands(self) -> Self:
        if self.product.tile_scene == "sample" and (len(self.data.bands) != 3 or self.data.scenes is not None):
            raise ValueError("product.tile_scene=sample is a picture in red, green and blue: name a scene, or set null")
        return self

    @model_validator(mode="after")
    def _require_trained_scales(self) -> Self:
        low, high = self.data.scale_range
        for key, scales in (("evaluation.scales", self.evaluation_scales), ("product.scale", (self.product_scale,))):
            if not all(low <= scale <= high for scale in scales):
                asked = ", ".join(f"{scale:g}" for scale in scales)
                raise ValueError(f"{key} ({asked}) must lie within data.scale ({low:g} to {high:g}), the range trained")
        return self

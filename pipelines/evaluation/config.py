"""What an evaluation is configured by: methods, datasets, scales, metrics, and what is decided in the end."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.cluster import RayConfig
from pipelines.datasets.config import SAMPLE_URI, LayoutName, SampleConfig
from pipelines.experiment.config import OutputConfig
from pipelines.tracking.config import TrackingConfig
from rssr.configuration import Config
from rssr.degradation.config import DegradationConfig

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]*$", max_length=60)]


class CheckpointConfig(Config):
    """A checkpoint as a method's authors publish it."""

    format: Literal["slimdiffsr", "ldcsr", "lcmsr"]
    """Whose it is."""
    files: tuple[str, ...] = Field(min_length=1)
    """One file, or of LDCSR and LCMSR the first and the second stage."""


class MethodConfig(Config):
    """One way to SR images: exactly one of `model`, `checkpoint` and `images`."""

    name: Name
    """In tables."""
    model: str | None = None
    """`bicubic`, `nearest`, a model folder, a model's name, or a URI such as models:/slimdiffsr-x4@champion."""
    checkpoint: CheckpointConfig | None = None
    """A published checkpoint, run exactly as its authors run it where that differs from our way."""
    images: str | None = None
    """Folder or URI of SR images made elsewhere, named as the HR images are (in any lossless format, with or without
    the folder of their class). With several datasets or scales they lie in DATASET/xSCALE below it."""
    color_match: Literal["none", "card", "scene", "local", "authors"] = "none"
    """How colours are matched to LR: not, as the model's card says, or as named."""
    licence: str = ""
    """Licence of images made elsewhere, for the report."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("model", "checkpoint", "images") if getattr(self, name) is not None]
        if len(given) != 1:
            told = ", ".join(given) or "none"
            raise ValueError(f"method '{self.name}' needs exactly one of model, checkpoint and images, not {told}")
        return self


class EvaluatedDataset(Config):
    """Images to evaluate on."""

    name: Name
    """In tables."""
    uri: str = SAMPLE_URI
    """HR images: a folder, archive, s3:// or other prefix, or shards; `sample` makes procedural ones. With `has_hr:
    false`, LR images."""
    lr_uri: str | None = None
    """LR images of the same names, e.g. of another sensor; null degrades the HR images."""
    has_hr: bool = True
    """Whether there are HR images. Without them only metrics that need none are measured."""
    layout: LayoutName = "auto"
    """Dataset that it holds, which tells the classes."""
    manifest: str | None = None
    """Folder or URI of a manifest that an earlier evaluation wrote: exactly its images are measured, and one that has
    changed is refused. Null chooses images by `num_images` and writes one."""
    num_images: int | None = Field(default=None, ge=1)
    """Images chosen by the seed, spread evenly over the classes; null takes all."""
    max_side: int | None = Field(default=None, ge=32)
    """Larger images are cropped to this side around their centre, HR pixels; null takes whole images."""
    sample: SampleConfig = SampleConfig()
    """The procedural images of `sample`."""
    licence: str = ""
    """Licence of the images, for the report."""


class MetricsConfig(Config):
    """What is measured, and how."""

    names: tuple[str, ...] = ("psnr_y", "ssim_y", "lpips", "dists")
    """Metrics in the order of the tables; `--help` of the job lists them."""
    weights: str | None = None
    """Folder with the weights of learned metrics. Null looks in $RSSR_METRIC_WEIGHTS, then in
    ~/.local/share/rssr/metrics. What is missing is a gap in the tables, with the command that fetches it."""
    border: Literal["scale"] | Annotated[int, Field(ge=0)] = "scale"
    """How many pixels are cut from every side before metrics that compare with HR: the scale, rounded up, or a
    number."""
    rank_by: str | None = None
    """Metric that says which method is ahead and which images are the worst; null takes the first of `names`."""
    trust: bool = True
    """Whether SR is taken back to LR and compared with it, and against HR its improvement, omission and hallucination
    measured."""


class PromotionConfig(Config):
    """When a registered model becomes champion."""

    model: str | None = None
    """Registered name; its `candidate` is compared with its `champion`. Both are measured whether or not they are among
    the methods."""
    metric: str | None = None
    """On which; null takes `metrics.rank_by`."""


class EvaluationWorkerConfig(Config):
    """Resources of one worker that super-resolves."""

    num_cpus: float = Field(default=1, gt=0)
    """CPU cores it reserves."""
    num_gpus: float = Field(default=0, ge=0)
    """GPUs it reserves."""
    num_threads: int = Field(default=1, ge=1)
    """Threads of CPU arithmetic; part of what makes results identical."""
    images_per_part: int = Field(default=8, ge=1)
    """Images whose results are kept together; an interrupted evaluation loses at most one part a worker."""


class EvaluateConfig(Config):
    """Keys of `jobs/evaluate.py`."""

    title: str = "Evaluation"
    """Heading of the report."""
    output: OutputConfig = OutputConfig()
    """Where everything durable goes."""
    methods: tuple[str | MethodConfig, ...] = Field(default=("bicubic",), min_length=1)
    """What is compared. A string is a model, known by its own name."""
    datasets: tuple[str | EvaluatedDataset, ...] = Field(default=(SAMPLE_URI,), min_length=1)
    """Images to compare on. A string is a URI, known by the name of its folder."""
    scales: tuple[Annotated[float, Field(ge=1)], ...] = Field(default=(4.0,), min_length=1)
    """HR/LR size ratios."""
    degradation: DegradationConfig
    """How LR images are made of HR images."""
    metrics: MetricsConfig = MetricsConfig()
    """What is measured."""
    reference: str | None = None
    """Method that the others are compared with, image by image; null takes the first."""
    allow_trained_on: tuple[str, ...] = ()
    """Methods that may be measured on images which their cards list as training data; for all others that is
    refused."""
    find_near_duplicates: bool = True
    """Whether images that resemble training images, or those of another dataset, are looked for and named."""
    num_shown: int = Field(default=3, ge=0)
    """Images shown of the worst and of the middling ones, for each dataset."""
    published: str | None = None
    """Table of a paper whose figures stand beside ours: slimdiffsr/table2, slimdiffsr/table3, slimdiffsr/table4,
    ldcsr/integer, ldcsr/continuous or lcmsr/x4."""
    promote: bool = False
    """Whether `champion` moves to the candidate, where that is better and the paired interval leaves zero out."""
    promotion: PromotionConfig = PromotionConfig()
    """When."""
    num_workers: int = Field(default=0, ge=0)
    """Workers that super-resolve, under Ray Data; 0 evaluates in this process, without Ray. Results are identical."""
    worker: EvaluationWorkerConfig = EvaluationWorkerConfig()
    """Resources of one worker."""
    seed: int = Field(default=0, ge=0)
    """Seed of the choice of images, of degradations, of samples and of the bootstrap."""
    fresh: bool = False
    """Forget parts that an interrupted evaluation of the same configuration left."""
    ray: RayConfig = RayConfig()
    """How to reach Ray."""
    mlflow: TrackingConfig = TrackingConfig()
    """Experiment tracking."""

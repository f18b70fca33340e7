"""What workers need to know to evaluate images: plain values, the same in every process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pipelines.datasets.manifest import ImageRecord
from pipelines.storage import StorageSettings
from rssr.degradation import DegradationConfig
from rssr.inference import ColorMatching

MethodKind = Literal["bicubic", "nearest", "model", "images"]


class Place(NamedTuple):
    """An image in a store.

    Attributes:
        uri: Location.
        key: Below it.
        version: Changes when the content may have changed.
    """

    uri: str
    key: str
    version: str


@dataclass(frozen=True)
class RunnableMethod:
    """How a method makes SR images.

    Attributes:
        name: In rows.
        kind: Interpolation, a network, or images that lie there already.
        scales: At which it is run, ascending.
        folder: Local model folder; empty where there is none.
        fetch_uri: Where a machine without that folder finds it; empty where all have it.
        color_match: How colours are matched to LR.
        as_authors: Whether images go through the published procedure of SlimDiffSR, at whole scales and as far as
            memory allows.
        identity: Digest of what it is, for the recognition of finished parts.
    """

    name: str
    kind: MethodKind
    scales: tuple[float, ...]
    folder: str = ""
    fetch_uri: str = ""
    color_match: ColorMatching = "none"
    as_authors: bool = False
    identity: str = ""


@dataclass(frozen=True)
class RunnableDataset:
    """Images to evaluate on, one after another.

    Attributes:
        name: In rows.
        images: The images; of a dataset without HR, LR images.
        sources: Their data locations.
        scales: At which it is evaluated, ascending.
        has_hr: Whether they are HR images.
        max_side: Larger images are cropped to this side around their centre, HR pixels; None takes whole images.
        lr_images: LR images of pairs, in the order of `images`, None where there is none; empty where LR is made.
        lr_sources: Their data locations.
        made: SR images made elsewhere by method and scale, in the order of `images`; where there is none, why.
    """

    name: str
    images: tuple[ImageRecord, ...]
    sources: tuple[str, ...]
    scales: tuple[float, ...]
    has_hr: bool = True
    max_side: int | None = None
    lr_images: tuple[ImageRecord | None, ...] = ()
    lr_sources: tuple[str, ...] = ()
    made: Mapping[tuple[str, float], Sequence[Place | str]] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasuringSpec:
    """What is measured.

    Attributes:
        metrics: Names of those that are measured image by image and can be had.
        features: Whether features of FID and KID are kept.
        reliability: Whether error bars are compared with errors.
        border: Pixels cut before comparing with HR, or `scale`.
        weights: Folder with the weights of learned metrics; None looks in the usual places.
    """

    metrics: tuple[str, ...]
    features: bool = False
    reliability: bool = True
    border: int | Literal["scale"] = "scale"
    weights: str | None = None


@dataclass(frozen=True)
class EvaluationTask:
    """Everything that a worker needs.

    Attributes:
        datasets: In the order of the configuration.
        methods: Likewise.
        degradation: How LR images are made.
        measuring: What is measured.
        seed: Of degradations and samples.
        device: Where networks run, `cpu` or `cuda`.
        num_threads: Of CPU arithmetic.
        settings: How to reach S3; None reads the environment of the process.
    """

    datasets: tuple[RunnableDataset, ...]
    methods: tuple[RunnableMethod, ...]
    degradation: DegradationConfig
    measuring: MeasuringSpec
    seed: int = 0
    device: str = "cpu"
    num_threads: int = 1
    settings: StorageSettings | None = None

    def methods_at(self, scale: float) -> tuple[RunnableMethod, ...]:
        """The methods that are run at a scale."""
        return tuple(method for method in self.methods if scale in method.scales)


class ImageJob(NamedTuple):
    """One image at one scale, for all methods.

    Attributes:
        dataset: Its position among the datasets.
        scale: HR/LR size ratio.
        image: Its position in the dataset.
    """

    dataset: int
    scale: float
    image: int

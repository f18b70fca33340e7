"""Everything an evaluation needs, opened and checked against one another before anything is computed."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from pipelines.catalogue import is_image_key
from pipelines.cluster import cluster_address
from pipelines.evaluation.config import EvaluateConfig
from pipelines.evaluation.datasets import OpenDataset, told_of_extra
from pipelines.evaluation.learnt import TrainedMethod
from pipelines.evaluation.lookalikes import SplitFindings
from pipelines.evaluation.methods import OpenMethod
from pipelines.evaluation.metrics import ChosenMetrics
from pipelines.evaluation.names import match_names
from pipelines.evaluation.result import Failure, SharedImage
from pipelines.evaluation.safety import check_splits
from pipelines.evaluation.task import EvaluationTask, Place, RunnableDataset, RunnableMethod
from pipelines.storage import StorageSettings, Store
from pipelines.storage.shards import open_images
from rssr.errors import DataError
from rssr.tiling import output_size

log = logging.getLogger(__name__)

_LOCAL = "local"


@dataclass(frozen=True)
class OpenEvaluation:
    """An evaluation that can begin.

    Attributes:
        config: How it is configured.
        home: Root of everything durable.
        methods: In the order of the configuration.
        datasets: Likewise.
        metrics: What is measured.
        task: What workers are told.
        reference: Name of the method that others are compared with.
        failures: Images that cannot be used.
        shared: Images that methods have learnt from or may have, and those that datasets share.
        notices: What else a reader must know, in words.
    """

    config: EvaluateConfig
    home: Store
    methods: tuple[OpenMethod, ...]
    datasets: tuple[OpenDataset, ...]
    metrics: ChosenMetrics
    task: EvaluationTask
    reference: str
    failures: tuple[Failure, ...]
    shared: tuple[SharedImage, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def scales(self) -> tuple[float, ...]:
        """HR/LR size ratios, ascending."""
        return scales_of(self.config)

    def software(self) -> list[str]:
        """Versions and digests of what figures are made with."""
        versions = [f"{name}={own_version(name)}" for name in ("rssr", "torch", "pyiqa")]
        return [*versions, *self.metrics.weight_digests()]


def scales_of(config: EvaluateConfig) -> tuple[float, ...]:
    """The scales, each once, ascending."""
    return tuple(sorted(set(config.scales)))


def own_version(package: str) -> str:
    """Of an installed package; empty where it is not."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def assemble(
    config: EvaluateConfig,
    home: Store,
    methods: Sequence[OpenMethod],
    datasets: Sequence[OpenDataset],
    metrics: ChosenMetrics,
) -> OpenEvaluation:
    """Bring methods and datasets together: which images made elsewhere belong to which, and what workers are told.

    Args:
        config: Of the evaluation.
        home: Root of everything durable.
        methods: All that are measured.
        datasets: Likewise.
        metrics: Likewise.

    Raises:
        DataError: A method of images made elsewhere has none of a dataset's; a method has learnt from the images; or
            pairs fit none of the scales.
        StorageError: Something cannot be reached.
    """
    runnable, notices = _with_images_made_elsewhere(datasets, methods, scales_of(config))
    task = _task(config, runnable, [_for_all_machines(method, config, home) for method in methods], metrics)
    for notice in notices:
        log.warning("%s", notice)
    splits = _check_splits(config, home, methods, datasets)
    return OpenEvaluation(
        config=config,
        home=home,
        methods=tuple(methods),
        datasets=tuple(datasets),
        metrics=metrics,
        task=task,
        reference=config.reference or methods[0].config.name,
        failures=tuple(failure for dataset in datasets for failure in dataset.failures),
        shared=splits.shared,
        notices=(*splits.notices, *notices),
    )


def _task(
    config: EvaluateConfig,
    datasets: Sequence[RunnableDataset],
    methods: Sequence[RunnableMethod],
    metrics: ChosenMetrics,
) -> EvaluationTask:
    """What workers are told."""
    return EvaluationTask(
        datasets=tuple(datasets),
        methods=tuple(methods),
        degradation=config.degradation,
        measuring=metrics.measuring(config),
        seed=config.seed,
        device="cuda" if config.worker.num_gpus > 0 else "cpu",
        num_threads=config.worker.num_threads,
        settings=StorageSettings.from_environment(),
    )


def _with_images_made_elsewhere(
    datasets: Sequence[OpenDataset], methods: Sequence[OpenMethod], scales: tuple[float, ...]
) -> tuple[tuple[RunnableDataset, ...], list[str]]:
    """The datasets as workers are told of them, and what there is to say."""
    runnable, notices = [], [notice for dataset in datasets for notice in dataset.notices]
    apart = len(datasets) > 1 or len(scales) > 1
    for dataset in datasets:
        ready = _runnable(dataset, scales)
        made = {}
        for method in methods:
            for scale in ready.scales if method.config.images is not None else ():
                made[method.config.name, scale], more = _find_made(method, dataset, scale, apart)
                notices += more
        runnable.append(replace(ready, made=made))
    return tuple(runnable), notices


def _check_splits(
    config: EvaluateConfig, home: Store, methods: Sequence[OpenMethod], datasets: Sequence[OpenDataset]
) -> SplitFindings:
    """Refuse methods that have learnt from the images, and find images that resemble training images."""
    trained = [
        TrainedMethod(method.config.name, method.card, method.folder) for method in methods if method.folder is not None
    ]
    manifests = {dataset.config.name: dataset.manifest for dataset in datasets}
    compared = home if config.find_near_duplicates else None
    return check_splits(trained, manifests, config.allow_trained_on, compared)


def _runnable(dataset: OpenDataset, scales: tuple[float, ...]) -> RunnableDataset:
    return RunnableDataset(
        name=dataset.config.name,
        images=dataset.manifest.records,
        sources=dataset.manifest.sources,
        scales=_fitting(dataset, scales) if dataset.lr_images else scales,
        has_hr=dataset.config.has_hr,
        max_side=dataset.config.max_side,
        lr_images=dataset.lr_images,
        lr_sources=dataset.lr_sources,
    )


def _fitting(dataset: OpenDataset, scales: tuple[float, ...]) -> tuple[float, ...]:
    """The scales that a pair at least has; images whose sizes have another ratio are failures then.

    Raises:
        DataError: No pair has any.
    """
    pairs = [(hr, lr) for hr, lr in zip(dataset.manifest.records, dataset.lr_images, strict=True) if lr is not None]
    fitting = tuple(
        scale
        for scale in scales
        if any(output_size((lr.height, lr.width), scale) == (hr.height, hr.width) for hr, lr in pairs)
    )
    named = ", ".join(f"{scale:g}" for scale in scales if scale not in fitting)
    if not fitting:
        hr, lr = pairs[0]
        raise DataError(
            f"Dataset '{dataset.config.name}': its pairs have none of the scales {named}; e.g. {hr.key} has "
            f"{hr.width}x{hr.height} pixels, its LR image {lr.width}x{lr.height}.",
            "Correct scales, or lr_uri.",
        )
    if named:
        log.warning("%s: its pairs do not have scale %s, and are not measured there", dataset.config.name, named)
    return fitting


def _find_made(
    method: OpenMethod, dataset: OpenDataset, scale: float, apart: bool
) -> tuple[list[Place | str], tuple[str, ...]]:
    """The SR images of a dataset in a folder, and what else lies there.

    Raises:
        DataError: There is not one.
    """
    name = method.config.name
    uri = (method.config.images or "").rstrip("/")
    if apart:
        uri = f"{uri}/{dataset.config.name}/x{scale:g}"
    store = open_images(uri)
    entries = {entry.key: entry for entry in store.list() if is_image_key(entry.key)}
    match = match_names(dataset.keys, list(entries), dataset.known)
    places: list[Place | str] = [
        f"No SR image of it can be taken from {store.uri}: {reason}."
        if key is None
        else Place(uri, key, entries[key].version)
        for key, reason in zip(match.found, match.reasons, strict=True)
    ]
    if not any(isinstance(place, Place) for place in places):
        raise DataError(
            f"Method '{name}': {store.uri} holds no SR image of the {len(places)} images of {dataset.config.name}"
            f" ({len(entries)} images lie there).",
            "They are named as the HR images are; with several datasets or scales they lie in DATASET/xSCALE below "
            "the folder.",
        )
    return places, told_of_extra(store.uri, match.extra, dataset.config.name)


def _for_all_machines(method: OpenMethod, config: EvaluateConfig, home: Store) -> RunnableMethod:
    """A method whose model other machines of the cluster find in the output."""
    runnable = method.runnable
    if method.folder is None or config.num_workers == 0 or cluster_address(config.ray) == _LOCAL:
        return runnable
    key = f"evaluations/models/{method.facts.digest[:32]}"
    if not home.exists(f"{key}/config.json"):
        home.upload_folder(method.folder, key)
    return replace(runnable, fetch_uri=home.describe(key))

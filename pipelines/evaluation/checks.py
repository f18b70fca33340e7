"""What can be told before an image is read: whether the configuration makes sense, and whether there is room."""

from pipelines.cluster import require_durable_output, require_room
from pipelines.datasets.config import SAMPLE_URI
from pipelines.evaluation.config import EvaluateConfig, EvaluatedDataset, MethodConfig
from pipelines.evaluation.methods import named_methods
from pipelines.evaluation.metrics import check_metrics
from pipelines.evaluation.names import name_in_tables, require_distinct
from pipelines.evaluation.promotion import check_metric
from pipelines.evaluation.published import load_table
from pipelines.storage import open_store
from pipelines.storage.archive import ARCHIVE_SUFFIXES
from pipelines.storage.store import probe_key
from rssr.errors import ConfigError


def check_config(config: EvaluateConfig) -> None:
    """Refuse at once what would otherwise fail after hours, or wait for ever.

    Raises:
        ConfigError: Naming the key.
        StorageError: The output cannot be written to.
    """
    require_durable_output(config.output.uri)
    methods, datasets = named_methods(config), named_datasets(config)
    specs = check_metrics(config)
    _check_names(config, methods)
    _check_degradation(config, datasets)
    _check_promotion(config)
    if config.promotion.model is not None and config.promotion.metric is not None:
        check_metric(specs, config.promotion.metric)
    if config.published is not None:
        load_table(config.published)
    _check_room(config)
    home, probe = open_store(config.output.uri), probe_key()
    home.write_bytes(probe, b"")
    home.delete(probe)


def named_datasets(config: EvaluateConfig) -> tuple[EvaluatedDataset, ...]:
    """The datasets with their names, as configured.

    Raises:
        ConfigError: Two have the same name.
    """
    datasets = tuple(_named(dataset) for dataset in config.datasets)
    require_distinct([dataset.name for dataset in datasets], "datasets")
    return datasets


def _named(dataset: str | EvaluatedDataset) -> EvaluatedDataset:
    """A dataset given as a string has the name of its folder."""
    if isinstance(dataset, EvaluatedDataset):
        return dataset
    own = dataset.rstrip("/").rpartition("/")[2]
    ending = next((suffix for suffix in ARCHIVE_SUFFIXES if own.lower().endswith(suffix)), "")
    name = name_in_tables(own.removesuffix(ending) or own, "dataset")
    # The sample is the default: set, it would look like a place of the user's.
    return EvaluatedDataset(name=name) if dataset == SAMPLE_URI else EvaluatedDataset(name=name, uri=dataset)


def _check_names(config: EvaluateConfig, methods: tuple[MethodConfig, ...]) -> None:
    names = [method.name for method in methods]
    if config.reference is not None and config.reference not in names:
        raise ConfigError(f"reference is {config.reference}, which is no method.", f"Choose from: {', '.join(names)}.")


def _check_degradation(config: EvaluateConfig, datasets: tuple[EvaluatedDataset, ...]) -> None:
    if config.degradation.sensor is not None:
        raise ConfigError(
            "degradation sentinel2 makes LR images of reflectance, but pictures are evaluated here.",
            "Choose slimdiffsr, real-esrgan or bicubic; training jobs measure models of reflectance themselves.",
        )
    for dataset in datasets:
        if dataset.lr_uri is not None and not dataset.has_hr:
            raise ConfigError(
                f"Dataset '{dataset.name}' has lr_uri and has_hr: false.",
                "Without HR images, uri names the LR images, and lr_uri is left out.",
            )


def _check_promotion(config: EvaluateConfig) -> None:
    if config.promote and config.promotion.model is None:
        raise ConfigError(
            "promote=true, but promotion.model does not say which registered model.",
            "Write promotion.model=NAME, e.g. promotion.model=slimdiffsr-x4.",
        )


def _check_room(config: EvaluateConfig) -> None:
    try:
        require_room(config.ray, config.num_workers, config.worker.num_cpus, config.worker.num_gpus)
    except ConfigError as error:
        raise fewer_workers(error) from None


def fewer_workers(error: ConfigError) -> ConfigError:
    """A refusal of more workers than there is room for, with what can be done about it in this job."""
    return ConfigError(
        error.problem,
        "Lower num_workers or what a worker reserves (worker.num_cpus, worker.num_gpus), or give the ray.address of a "
        "larger cluster. num_workers=0 evaluates in this process.",
    )

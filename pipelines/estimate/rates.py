"""The rates that an estimate is told from: given, kept from before, or measured here and now."""

import logging
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipelines.bulk.records import PlannedScene
from pipelines.estimate.config import PlanConfig
from pipelines.estimate.kept_rates import find_kept, keep, read_rates
from pipelines.estimate.measuring_models import ModelSamples, ReadSamples, Subject, read_piece, time_model
from pipelines.estimate.measuring_stores import place_of, probe_output, time_dispatch
from pipelines.estimate.planned import PlannedRun, layers_of, on_gpu
from pipelines.estimate.speed import Duration, MeasuredFor, ModelRates, Rate, Rates, StoreRates
from pipelines.machine import describe_machine
from pipelines.storage import StorageSettings, open_store
from pipelines.timestamps import timestamp
from rssr.errors import ConfigError, RssrError, StorageError
from rssr.inference.chosen_model import kind_of_device
from rssr.raster import CogOptions

log = logging.getLogger(__name__)

_MOST_WAITED = 0.2  # share of the time, beyond which it is told
_LIBRARIES = ("rssr", "torch", "numpy", "rasterio")


def rates_for(run: PlannedRun, config: PlanConfig) -> Rates:
    """Rates of one worker for a run.

    Raises:
        ConfigError: They are unknown and shall not be measured, or those given are for something else.
        RssrError: A store or scene cannot be used.
    """
    if config.plan.rates is not None:
        return _given(Path(config.plan.rates), run, config)
    known = _Known(run, config)
    model, stores = known.model, known.stores
    if model is None or stores is None or (_asks_ray(config) and stores.dispatch_s is None):
        if not config.plan.measure:
            raise ConfigError(
                f"How fast {config.model} and the stores are from here is not known, and plan.measure is false.",
                "Leave it out to measure for about a minute, or give the rates of another machine: plan.rates=FILE.",
            )
        return known.measured()
    log.info("rates as measured on %s, at %s", model.machine, model.measured_at)
    return Rates(model=model, stores=stores)


def decisive_settings(run: PlannedRun, config: PlanConfig) -> MeasuredFor:
    """What decides how long tiles and products take."""
    tiling, layers = run.options.tiling.completed(run.model.card), layers_of(run, config)
    num_bands = max(len(scene.band_names) for scene in run.runnable)
    return MeasuredFor(
        **configured_settings(config),
        num_bands=num_bands,
        num_model_bands=layers.num_model_bands or num_bands,
        tile_size=layers.tile_size,
        halo=tiling.halo,
        color_match=tiling.color_match,
        num_samples=run.options.draws.num_samples,
    )


def configured_settings(config: PlanConfig) -> dict[str, Any]:
    """What of it the configuration alone decides."""
    return {
        "scale": config.scale,
        "num_threads": config.worker.num_threads,
        "on": "gpu" if on_gpu(config) else "cpu",
        "batch_size": config.tiling.batch_size if on_gpu(config) else 1,
        "products": config.products.model_dump(mode="json", exclude={"licence", "thumbnail_side", "called"}),
    }


def require_settings(rates: Rates, settings: MeasuredFor, path: Path) -> None:
    """Refuse rates that were measured for something else.

    Raises:
        ConfigError: With what differs.
    """
    differences = settings.differences(rates.model.settings)
    if differences:
        raise ConfigError(
            f"The rates in {path} were measured for something else: {'; '.join(differences)}.",
            "Measure there what shall be run.",
        )


def _given(path: Path, run: PlannedRun, config: PlanConfig) -> Rates:
    """Those of a file, if they are of this model and of such tiles and products.

    Raises:
        ConfigError: They are not.
    """
    rates = read_rates(path)
    if rates.model.model_digest != run.model_digest:
        raise ConfigError(
            f"The rates in {path} are those of another model, {rates.model.model}.", "Measure this one there."
        )
    require_settings(rates, decisive_settings(run, config), path)
    return rates


def _asks_ray(config: PlanConfig) -> bool:
    """Whether the driver hands out work through Ray."""
    return config.num_workers > 0


class _Known:
    """What was measured on this machine before, and what is measured now."""

    def __init__(self, run: PlannedRun, config: PlanConfig) -> None:
        self._run, self._config = run, config
        self._storage = StorageSettings.from_environment()
        self._machine = describe_machine(kind_of_device(run.model))
        self._software = {name: found for name in _LIBRARIES if (found := _version(name))}
        self._settings = decisive_settings(run, config)
        self._places = self._described_places()
        self._model_key = {
            "machine": self._machine,
            "software": self._software,
            "model": run.model_digest,
            "settings": self._settings.model_dump(mode="json"),
        }
        self._store_key = {"machine": self._machine, "places": self._places}
        fresh = config.plan.fresh_rates
        self.model = None if fresh else find_kept(ModelRates, self._model_key)
        self.stores = None if fresh else find_kept(StoreRates, self._store_key)

    def measured(self) -> Rates:
        """Measure what is not known, and keep it."""
        log.info("measuring on %s", self._machine)
        if self.model is None or self.stores is None:
            reading, making = self._look_into_scenes()
            if self.stores is None:
                self.stores = self._store_rates(reading)
            if self.model is None:
                self.model = self._model_rates(making)
                keep(self.model, self._model_key)
        if _asks_ray(self._config) and self.stores.dispatch_s is None:
            dispatch_s = Duration.of(time_dispatch(self._config.ray))
            self.stores = self.stores.model_copy(update={"dispatch_s": dispatch_s})
        keep(self.stores, self._store_key)
        return Rates(model=self.model, stores=self.stores)

    def _look_into_scenes(self) -> tuple[ReadSamples, ModelSamples]:
        """Some scenes, small ones and large ones; those that cannot be read are left to the run to fail at."""
        config, run = self._config, self._run
        scenes, layers = _spread(run.runnable, config.plan.num_samples), layers_of(run, config)
        deadline, each_s = time.monotonic() + config.plan.patience_s, config.plan.patience_s / len(scenes)
        products, num_threads = config.products, config.worker.num_threads
        compression = CogOptions(products.compression, products.compression_level, num_threads)
        subject = Subject(run.model, config.scale, run.options, layers, compression, num_threads, each_s)
        reading, making, failure = ReadSamples(), ModelSamples(), None
        for scene in scenes:
            try:
                piece = read_piece(scene, run.opened(scene), subject.tiles_at_once, reading)
                if self.model is None:
                    time_model(piece, subject, making)
            except StorageError:
                raise
            except RssrError as error:
                log.warning("%s cannot be measured: %s", scene.name, error)
                failure = failure or error
            is_known = bool(reading.open_s if self.model is not None else making.compression_ratio)
            if is_known and time.monotonic() > deadline:
                break
        if failure is not None and not is_known:
            raise failure
        self._warn_if_busy(making)
        return reading, making

    def _warn_if_busy(self, samples: ModelSamples) -> None:
        """Say that what was left out of the rates is not left out of a run."""
        share = max(samples.waited_share, default=0.0)
        if share > _MOST_WAITED:
            log.warning(
                "Other programs kept this machine busy: %.0f %% of the time went by waiting for a processor. It is not "
                "counted; a run here takes longer while that lasts.",
                100 * share,
            )

    def _model_rates(self, samples: ModelSamples) -> ModelRates:
        return ModelRates(
            machine=self._machine,
            software=self._software,
            measured_at=timestamp(),
            model=self._config.model,
            model_digest=self._run.model_digest,
            settings=self._settings,
            tile_s=Duration.of(samples.tile_s),
            finish_values_per_s=Rate.of(samples.finish_values_per_s),
            compression_ratio=Duration.of(samples.compression_ratio),
        )

    def _store_rates(self, reading: ReadSamples) -> StoreRates:
        probed = probe_output(open_store(self._config.output.uri, self._storage), self._config.plan.probe_bytes)
        return StoreRates(
            machine=self._machine,
            measured_at=timestamp(),
            places=self._places,
            open_s=Duration.of(reading.open_s),
            input_bytes_per_s=Rate.of(reading.input_bytes_per_s),
            fetch_bytes_per_s=Rate.of(probed.fetch_bytes_per_s),
            upload_bytes_per_s=Rate.of(probed.upload_bytes_per_s),
            commit_s=Duration.of(probed.commit_s),
            lease_s=Duration.of(probed.lease_s) if probed.lease_s else None,
            verify_bytes_per_s=Rate.of(probed.verify_bytes_per_s),
        )

    def _described_places(self) -> str:
        inputs = sorted({place_of(scene.scene.location, self._storage) for scene in self._run.runnable})
        return f"{', '.join(inputs)} to {place_of(self._config.output.uri, self._storage)}"


def _spread(scenes: Sequence[PlannedScene], number: int) -> list[PlannedScene]:
    """Some scenes from the smallest to the largest; one with most pixels comes first."""
    ordered = sorted(scenes, key=lambda scene: -scene.lr_size[0] * scene.lr_size[1])
    if number >= len(ordered):
        return ordered
    return [ordered[round(index * (len(ordered) - 1) / max(1, number - 1))] for index in range(number)]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""  # run from a source tree

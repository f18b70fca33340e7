"""The methods of an evaluation, from what is configured to what can be run."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.evaluation.checkpoints import import_checkpoint
from pipelines.evaluation.config import EvaluateConfig, MethodConfig
from pipelines.evaluation.names import name_in_tables, require_distinct
from pipelines.evaluation.result import MethodFacts
from pipelines.evaluation.task import MethodKind, RunnableMethod
from pipelines.tracking.model_source import fetch_model_version, find_registered_model
from pipelines.tracking.registry import ModelVersion, folder_digest
from rssr.card import ModelCard
from rssr.configuration import config_digest
from rssr.errors import ModelError
from rssr.inference import ColorMatching, check_scale
from rssr.inference.chosen_model import check_bands
from rssr.inference.cost import count_image_cost
from rssr.inference.values import value_scale
from rssr.models.counting import count_live
from rssr.models.loaded import LoadedModel, find_model_folder, load_model

log = logging.getLogger(__name__)

BASELINES: dict[str, MethodKind] = {"bicubic": "bicubic", "nearest": "nearest"}

_NUM_BANDS = 3
_REGISTRY = "models:"
_URI_NAME = re.compile(r"models:/+([^/@]+)[/@](.+)")


@dataclass(frozen=True)
class OpenMethod:
    """A method that is there and fits.

    Attributes:
        config: How it is configured.
        facts: What the result says of it.
        runnable: What workers need.
        folder: Its model folder; None where it has none.
        card: What its model was made for; None where it has no card.
        version: Its registered version; None for others.
    """

    config: MethodConfig
    facts: MethodFacts
    runnable: RunnableMethod
    folder: Path | None = None
    card: ModelCard | None = None
    version: ModelVersion | None = None


@dataclass(frozen=True)
class _Found:
    """Where a model lies, before it is opened."""

    folder: Path
    version: ModelVersion | None = None


def named_methods(config: EvaluateConfig) -> tuple[MethodConfig, ...]:
    """The methods with their names, as configured.

    Raises:
        ConfigError: Two have the same name.
    """
    methods = tuple(_named(method) for method in config.methods)
    require_distinct([method.name for method in methods], "methods")
    return methods


def open_method(config: MethodConfig, scales: Sequence[float], tracking_uri: str) -> OpenMethod:
    """Find a method, fetch it where it is remote, and check that it takes pictures at one of the scales.

    Args:
        config: Of the method.
        scales: At which it is asked for; those that its model was not trained for are left out.
        tracking_uri: The store of registered models.

    Raises:
        ModelError: There is no such model, or it does not fit.
        WeightsError: Its weights are missing or damaged.
        TrackingError: The store of registered models does not answer.
    """
    if config.images is not None:
        facts = MethodFacts(config.name, "images", config.images, licence=config.licence)
        return OpenMethod(config, facts, RunnableMethod(config.name, "images", tuple(scales)))
    if config.model in BASELINES:
        kind = BASELINES[config.model]
        facts = MethodFacts(config.name, "baseline", config.model)
        return OpenMethod(config, facts, RunnableMethod(config.name, kind, tuple(scales), identity=kind))
    return _open_model(config, scales, _find(config, tracking_uri))


def _named(method: str | MethodConfig) -> MethodConfig:
    """A method given as a string has the model's own name."""
    if isinstance(method, MethodConfig):
        return method
    match = _URI_NAME.fullmatch(method)
    own = f"{match[1]} {match[2]}" if match else method.rstrip("/").rpartition("/")[2]
    return MethodConfig(name=name_in_tables(own, "method"), model=method)


def _find(config: MethodConfig, tracking_uri: str) -> _Found:
    if config.checkpoint is not None:
        return _Found(import_checkpoint(config.checkpoint))
    model = config.model or ""
    if model.startswith(_REGISTRY):
        version = find_registered_model(model, tracking_uri)
        return _Found(fetch_model_version(tracking_uri, version), version)
    return _Found(find_model_folder(model).absolute())


def _open_model(config: MethodConfig, scales: Sequence[float], found: _Found) -> OpenMethod:
    try:
        model = load_model(found.folder)
        _check_pictures(model)
        fitting = _fitting(config.name, model, scales)
    except ModelError as error:
        raise ModelError(f"Method '{config.name}': {error.problem}", error.remedy) from None
    as_authors = _runs_as_authors(config)
    matching: ColorMatching = "authors" if as_authors else _matching(config, model)
    digest = folder_digest(found.folder)
    runnable = RunnableMethod(
        name=config.name,
        kind="model",
        scales=fitting,
        folder=str(found.folder),
        color_match=matching,
        as_authors=as_authors,
        identity=config_digest(digest, matching, as_authors),
    )
    facts = _facts(config, model, found, digest, fitting[0])
    return OpenMethod(config, facts, runnable, found.folder, model.card, found.version)


def _check_pictures(model: LoadedModel) -> None:
    """Evaluated are pictures: uint8, red, green and blue."""
    check_bands(model, _NUM_BANDS)
    value_scale(model.card, np.dtype(np.uint8))


def _fitting(name: str, model: LoadedModel, scales: Sequence[float]) -> tuple[float, ...]:
    """The scales that a model was trained for; the others are told, and are gaps in the tables.

    Raises:
        ModelError: It was trained for none.
    """
    fitting, refusal = [], None
    for scale in scales:
        try:
            check_scale(model, scale)
            fitting.append(scale)
        except ModelError as error:
            refusal = error
    if refusal is not None and not fitting:
        raise refusal
    if refusal is not None:
        left_out = ", ".join(f"{scale:g}" for scale in scales if scale not in fitting)
        log.warning("%s is not measured at scale %s: %s", name, left_out, refusal.problem)
    return tuple(fitting)


def _runs_as_authors(config: MethodConfig) -> bool:
    """Whether SlimDiffSR's published procedure, which differs from ours, is asked for."""
    checkpoint = config.checkpoint
    is_asked = "color_match" not in config.model_fields_set or config.color_match == "authors"
    return checkpoint is not None and checkpoint.format == "slimdiffsr" and is_asked


def _matching(config: MethodConfig, model: LoadedModel) -> ColorMatching:
    if config.color_match == "card":
        return "none" if model.card is None else model.card.color_match
    return config.color_match


def _facts(config: MethodConfig, model: LoadedModel, found: _Found, digest: str, scale: float) -> MethodFacts:
    """What is known of a model, which cannot be used afterwards."""
    card = model.card
    source = config.model or ", ".join(config.checkpoint.files if config.checkpoint else ())
    facts = MethodFacts(
        name=config.name,
        kind="model",
        source=source if found.version is None else f"{source} ({found.version.uri})",
        digest=digest,
        licence=config.licence or ("" if card is None else card.licence),
        is_official=config.checkpoint is not None or (card is not None and not card.unofficial_weights),
        digest_of_training=() if card is None else tuple(item.digest for item in card.training_manifests),
    )
    if model.network is None:
        return facts
    num_parameters = count_live(model.network)  # before its weights are given up
    return replace(facts, num_parameters=num_parameters, gmacs=count_image_cost(model, scale) / 1e9)

"""From a name, a folder or a URI to a model that is ready to run."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rssr.errors import ModelError, WeightsError
from rssr.models.registry import MODELS, build_resolver, create_model
from rssr.models.resolver import SuperResolver

if TYPE_CHECKING:  # `bicubic` is loaded without PyTorch, which takes longer than to enlarge a scene
    import torch
    from torch import nn

    from rssr.card import ModelCard
    from rssr.weights.folder import ModelFolder

SOURCES_GROUP = "rssr.model_sources"
"""Entry points named by URI scheme; each takes the URI and returns a local model folder."""

MODELS_VARIABLE = "RSSR_MODELS"
"""Environment variable: the folder in which a model's name is looked up."""


@dataclass
class LoadedModel:
    """A model that is ready to run.

    Attributes:
        name: Model name, e.g. `slimdiffsr`.
        resolver: Takes LR images and an output size.
        network: The network inside the resolver, in eval mode; None for `bicubic`.
        architecture: Values the network was built with.
        card: What the model was made for; None where it has no card.
    """

    name: str
    resolver: SuperResolver
    network: "nn.Module | None"
    architecture: dict[str, Any]
    card: "ModelCard | None"


def load_model(source: str | Path, device: "str | torch.device" = "cpu") -> LoadedModel:
    """Load a model.

    Args:
        source: `bicubic`; a model folder; the name of a model whose folder lies in `$RSSR_MODELS` (by default
            `~/.local/share/rssr/models`); or a URI such as `models:/slimdiffsr-x4@champion`.
        device: Where the network shall live.

    Raises:
        ModelError: If there is no such model, or it is of a method that is not known here.
        WeightsError: If its weights are missing or damaged, do not fit, or are another method's.
    """
    if source == "bicubic":
        return LoadedModel("bicubic", build_resolver("bicubic", None), None, {}, None)
    import torch

    from rssr.weights.folder import load_model_folder
    from rssr.weights.layout import fill_network

    folder = find_model_folder(source)
    held = load_model_folder(folder)
    _check_method(held, folder)
    with torch.random.fork_rng(devices=[]):  # random weights that are overwritten must not move anyone's generator
        network = create_model(held.name, **held.architecture)
    _check_recognised(held, network, folder)
    fill_network(network, held.state, str(folder))
    network.to(device).eval()
    return LoadedModel(held.name, build_resolver(held.name, network), network, held.architecture, held.card)


def _check_method(held: "ModelFolder", folder: Path) -> None:
    """Refuse folders that name a method which is not known, or two of them."""
    if held.name not in MODELS:
        method = "" if held.card is None else f" of the method {held.card.method}"
        raise ModelError(
            f"{folder} holds the model '{held.name}'{method}, which this version of rssr does not know.",
            f"Update rssr, or choose one of: {', '.join(MODELS)}.",
        )
    wanted = MODELS[held.name].method
    if held.card is not None and held.card.method != wanted:
        raise ModelError(
            f"{folder} contradicts itself: its config.json names the model {held.name}, its card the method "
            f"{held.card.method}.",
            "Export or fetch the model again.",
        )


def _check_recognised(held: "ModelFolder", network: "nn.Module", folder: Path) -> None:
    """Refuse weights whose names are those of another network, before their thousand differences are listed."""
    from rssr.weights.official import recognise

    found, wanted = recognise(held.state), recognise(network.state_dict())
    if found not in ("unknown", wanted):
        raise WeightsError(
            f"The weights in {folder} are not those of {held.name}: by their names they are {found}.",
            "Check where they come from; published checkpoints are imported with `rssr weights import`.",
        )


def find_model_folder(source: str | Path) -> Path:
    """Resolve a path, name or URI to a local model folder; URIs may fetch."""
    scheme, separator, _ = str(source).partition(":/")
    if separator and not isinstance(source, Path):
        return _fetch(str(source), scheme)
    path = Path(source).expanduser()
    if path.is_file():
        raise _is_a_file(path)
    if path.exists():
        return path
    from rssr.weights.folder import is_model_folder

    named = models_folder() / str(source)
    if str(source) in MODELS and is_model_folder(named):
        return named
    if str(source) in MODELS:
        raise ModelError(
            f"Model '{source}' has no weights here: looked for a folder ./{source} and for {named}.",
            f"Train one, or run `rssr weights import --format {MODELS[str(source)].method} FILE {named}`.",
        )
    raise ModelError(f"There is no model '{source}'.", f"Give a model folder, a URI or one of: {', '.join(MODELS)}.")


def _is_a_file(path: Path) -> ModelError:
    from rssr.weights.lightning import read_lightning
    from rssr.weights.official import known_formats, recognise

    return ModelError(
        f"{path} is a file, not a model folder: by its names it holds {recognise(read_lightning(path).state)}.",
        "Import published checkpoints first: rssr weights import --format FORMAT FILE FOLDER, where FORMAT is one "
        f"of {', '.join(known_formats())}.",
    )


def models_folder() -> Path:
    """Where models are looked up by name."""
    default = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "rssr" / "models"
    return Path(os.environ.get(MODELS_VARIABLE) or default).expanduser()


def _fetch(uri: str, scheme: str) -> Path:
    if scheme == "file":
        return Path(uri.removeprefix("file://").removeprefix("file:"))
    known = entry_points(group=SOURCES_GROUP)
    if scheme not in known.names:
        schemes = ", ".join(sorted({"file", *known.names}))
        raise ModelError(f"No one here fetches models from '{scheme}:' ({uri}).", f"Schemes known are: {schemes}.")
    fetch: Callable[[str], Path] = known[scheme].load()
    return Path(fetch(uri))

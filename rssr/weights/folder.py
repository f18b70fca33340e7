"""A model on disk: a folder with `config.json`, `model.safetensors` and, once there is one, `card.yaml`.

A folder is written beside its place and moved there whole; `config.json` names the digest of the weights, so a
damaged copy is noticed. Nothing here unpickles.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rssr.errors import ModelError, WeightsError
from rssr.weights.layout import without_wrapper_prefix

if TYPE_CHECKING:  # who only asks for a folder's files needs no PyTorch
    from torch import Tensor, nn

    from rssr.card import ModelCard

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "card.yaml"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class ModelFolder:
    """What a model folder holds.

    Attributes:
        name: Model name, e.g. `slimdiffsr`.
        architecture: Values for `create_model`.
        state: Weights by name, on the CPU.
        card: The card; None where there is none yet.
    """

    name: str
    architecture: dict[str, Any]
    state: "dict[str, Tensor]"
    card: "ModelCard | None"


def save_model_folder(
    folder: Path,
    name: str,
    architecture: Mapping[str, Any],
    network: "nn.Module",
    card: "ModelCard | None",
    attachments: Mapping[str, bytes] | None = None,
) -> None:
    """Write a model folder; a model folder that is already there is replaced as a whole.

    Args:
        folder: Where the folder shall be; its parent is made if need be.
        name: Model name.
        architecture: Values for `create_model`, as JSON can hold them.
        network: Its weights are stored as they are, in their own types.
        card: The card, or None.
        attachments: More small files by name, e.g. the digests of the training images that the card names.

    Raises:
        ModelError: If the place is taken by something else.
    """
    folder = Path(folder).absolute()
    _check_place(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        aside.chmod(0o755)  # mkdtemp makes private folders; models are shared
        _write_parts(aside, name, architecture, network)
        for file_name, content in (attachments or {}).items():
            (aside / file_name).write_bytes(content)
        if card is not None:
            card.save(aside / CARD_FILE)
        _move_into_place(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def load_model_folder(folder: Path) -> ModelFolder:
    """Read and check a model folder.

    Raises:
        ModelError: If the folder, its configuration or its card is missing or unreadable.
        WeightsError: If the weights are missing or damaged.
    """
    folder = Path(folder)
    config = _read_config(folder)
    return ModelFolder(
        name=config["model"],
        architecture=config["architecture"],
        state=_read_weights(folder / WEIGHTS_FILE, config.get("weights_sha256")),
        card=_read_card(folder / CARD_FILE),
    )


def is_model_folder(folder: Path) -> bool:
    """Whether a folder looks like a model folder."""
    return (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()


def _write_parts(folder: Path, name: str, architecture: Mapping[str, Any], network: "nn.Module") -> None:
    import safetensors.torch as safetensors

    state = without_wrapper_prefix(network.state_dict())
    # A copy each: safetensors refuses tensors that share memory or are not contiguous.
    plain = {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
    safetensors.save_file(plain, folder / WEIGHTS_FILE)
    config = {
        "format_version": FORMAT_VERSION,
        "model": name,
        "architecture": dict(architecture),
        "weights_sha256": _file_sha256(folder / WEIGHTS_FILE),
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _check_place(folder: Path) -> None:
    taken = folder.exists() and not (folder.is_dir() and (is_model_folder(folder) or not any(folder.iterdir())))
    if taken:
        raise ModelError(f"{folder} exists and is no model folder.", "Choose another place; nothing was written.")


def _move_into_place(aside: Path, folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent))
        folder.replace(old)
        aside.replace(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        aside.replace(folder)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{folder} is no model folder: {CONFIG_FILE} cannot be read ({error.strerror}).",
            f"A model folder holds {CONFIG_FILE} and {WEIGHTS_FILE}; check the path.",
        ) from None
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}).", "Export or fetch the model again.") from None
    foreign = isinstance(config, dict) and (config.get("_class_name") or config.get("architectures"))
    if foreign and "format_version" not in config:
        kind = foreign if isinstance(foreign, str) else ", ".join(map(str, foreign))
        raise ModelError(
            f"{folder} holds {kind} of diffusers or transformers, not a model of rssr.",
            "Give a model folder of rssr; pretrained networks belong to base_weights.* of a training job.",
        )
    if not isinstance(config, dict) or config.get("format_version") != FORMAT_VERSION:
        found = config.get("format_version") if isinstance(config, dict) else None
        raise ModelError(f"{path} has the format version {found!r}; this rssr reads {FORMAT_VERSION}.", "Update rssr.")
    if not isinstance(config.get("model"), str) or not isinstance(config.get("architecture"), dict):
        raise ModelError(f"{path} lacks 'model' or 'architecture'.", "Export or fetch the model again.")
    return config


def _read_weights(path: Path, sha256: str | None) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    remedy = "Fetch or export the model again."
    if not path.is_file():
        raise WeightsError(f"There is no {path}.", remedy)
    if sha256 is not None and _file_sha256(path) != sha256:
        raise WeightsError(f"{path} is damaged: its SHA-256 differs from the one in {CONFIG_FILE}.", remedy)
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors ({error}).", remedy) from None


def _read_card(path: Path) -> "ModelCard | None":
    if not path.is_file():
        return None
    from rssr.card import ModelCard  # here, because the card alone needs pydantic and YAML

    return ModelCard.load(path)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

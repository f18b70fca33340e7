"""Published checkpoints: read them without running them, tell methods apart, import them as model folders."""

import hashlib
import importlib
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rssr.errors import WeightsError
from rssr.weights.layout import without_wrapper_prefix

_WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "net", "model")  # averaged weights first
_IMPORTERS: Mapping[str, str] = MappingProxyType(
    {
        "slimdiffsr": "rssr.methods.slimdiffsr.weights:import_files",
        "ldcsr": "rssr.methods.ldcsr.weights:import_files",
        "lcmsr": "rssr.methods.lcmsr.weights:import_files",
    }
)

_LDCSR_MAX_TIMESTEPS = 100  # published: 4, and variants of up to 16
_SECOND_STAGE = "LDCSR's or LCMSR's second stage"

# Beginnings of names that give a checkpoint away, the most telling first.
_SIGNATURES = (
    ("SlimDiffSR's student", "unet.mid_block.mid_block."),
    (_SECOND_STAGE, "first_stage_model.decoder.FRUList."),
    (_SECOND_STAGE, "model.diffusion_model.osize_embed."),
    ("a network of LDCSR or LCMSR in a model folder of rssr", "condition_encoder."),
    ("the first stage of LDCSR (and of LCMSR with a continuous scale)", "decoder.style."),
    ("LCMSR's first stage with a fixed scale", "decoder.FRUList."),
    ("an original Stable Diffusion checkpoint", "model.diffusion_model."),
    ("a diffusers UNet", "time_embedding."),
    ("a diffusers AutoencoderKL", "post_quant_conv."),
    ("TAESD", "decoder.layers."),
    ("Real-ESRGAN's generator (RRDBNet)", "body.0.rdb1."),
)


@dataclass(frozen=True)
class ImportOptions:
    """What no tensor's shape shows.

    Attributes:
        norm_num_groups: Groups of every GroupNorm (published: 32).
        head_channels: Width of one head of the attention of LDCSR's and LCMSR's denoiser (published: 32).
        prediction: What that denoiser's output means, `noise` or `sample`; None: as published.
        raw_weights: Take that denoiser's weights as trained instead of their moving average.
    """

    norm_num_groups: int = 32
    head_channels: int = 32
    prediction: str | None = None
    raw_weights: bool = False


@dataclass(frozen=True)
class SourceFile:
    """A file that was imported, and its digest."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class LeftOut:
    """Tensors that an import knows and does not need: what they are, how many, and how many values."""

    what: str
    num_tensors: int
    num_values: int


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        model: Name of the model written.
        sources: Files that were read.
        folder: Model folder written.
        architecture: Values read from the shapes (or given).
        num_tensors: Tensors taken.
        num_parameters: Parameters taken.
        unused: Names in the files that no forward pass reads and that were left out.
        num_unused_parameters: Parameters under those names.
        groups: The same by what they are, where there are too many to be named one by one.
    """

    model: str
    sources: tuple[SourceFile, ...]
    folder: Path
    architecture: dict[str, Any]
    num_tensors: int
    num_parameters: int
    unused: tuple[str, ...]
    num_unused_parameters: int
    groups: tuple[LeftOut, ...] = ()


Importer = Callable[[Sequence[Path], Path, ImportOptions], ImportReport]


def import_official(
    format_name: str, files: Path | Sequence[Path], folder: Path, options: ImportOptions | None = None
) -> ImportReport:
    """Import a published checkpoint as a model folder.

    Args:
        format_name: One of `known_formats()`.
        files: The checkpoint; LDCSR and LCMSR have two, the first stage and the second.
        folder: Model folder to write.
        options: What no tensor's shape shows; None: as published.

    Raises:
        WeightsError: If the format is unknown or the files are no such checkpoint, whole and fitting.
        ModelError: If the options do not fit the widths, or the folder's place is taken by something else.
    """
    if format_name not in _IMPORTERS:
        raise WeightsError(f"There is no format '{format_name}'.", f"Known are: {', '.join(_IMPORTERS)}.")
    module, _, attribute = _IMPORTERS[format_name].partition(":")
    importer: Importer = getattr(importlib.import_module(module), attribute)
    return importer([files] if isinstance(files, Path) else list(files), folder, options or ImportOptions())


def known_formats() -> list[str]:
    """Names of the checkpoint formats that can be imported."""
    return list(_IMPORTERS)


def read_checkpoint(file: Path) -> dict[str, Tensor]:
    """Read names and tensors from a `torch.save` archive or a safetensors file, on the CPU.

    Code in the file is never run. Usual wrappers (`state_dict`, `params_ema`, `module.` ...) are taken off.

    Raises:
        WeightsError: If the file is missing, unreadable, unsafe or holds no tensors by name.
    """
    if not file.is_file():
        raise WeightsError(f"There is no file {file}.", "Check the path.")
    if file.suffix == ".safetensors":
        return without_wrapper_prefix(read_safetensors(file))
    return without_wrapper_prefix(tensors_by_name(innermost_mapping(_read_archive(file)), file))


def recognise(state: Mapping[str, Tensor]) -> str:
    """What a checkpoint probably is, in words: by the names of its tensors, and by the length of its schedule.

    LDCSR's and LCMSR's second stages have the same names; LDCSR takes few timesteps, LCMSR a thousand.
    """
    titles = (title for title, beginning in _SIGNATURES if any(name.startswith(beginning) for name in state))
    title = next(titles, "unknown")
    schedule = state.get("betas")
    if title != _SECOND_STAGE or schedule is None:
        return title
    return "LDCSR's second stage" if schedule.numel() <= _LDCSR_MAX_TIMESTEPS else "LCMSR's second stage"


def file_sha256(file: Path) -> str:
    """Digest of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """Names and tensors of a safetensors file.

    Raises:
        WeightsError: If it cannot be read.
    """
    try:
        return load_file(file)
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"{file} cannot be read as safetensors ({error}).", "Fetch it again.") from None


def _read_archive(file: Path) -> object:
    try:
        with warnings.catch_warnings():  # about oddities of a garbled file, which is refused
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # whose words are an invitation to run the file
        raise WeightsError(
            f"{file} holds more than tensors or is damaged, and was not opened{_as_recognised(file)}.",
            "Check the format; or fetch it from its authors again: files that need code to load are never run.",
        ) from None
    except Exception as error:  # a garbled archive makes the reader stumble in any way it can
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise WeightsError(f"{file} cannot be read as a PyTorch archive ({reason}).", "Fetch it again.") from None


def _as_recognised(file: Path) -> str:
    """What a file is by its names, which are read without making any object."""
    from rssr.weights.lightning import read_lightning  # here, because it needs this module

    title = "unknown"
    with suppress(WeightsError):
        title = recognise(read_lightning(file).state)
    return "" if title == "unknown" else f"; by its names it is {title}"


def innermost_mapping(content: object) -> object:
    """What usual wrappers (`state_dict`, `params_ema` ...) hold; the content itself where there is none."""
    for _ in _WRAPPERS:  # wrappers may nest, but not deeper than there are kinds of them
        if not isinstance(content, Mapping):
            break
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    return content


def tensors_by_name(content: object, file: Path) -> dict[str, Tensor]:
    """The content as named tensors.

    Args:
        content: What a file holds, without wrappers.
        file: For the message.

    Raises:
        WeightsError: If it is something else, or empty.
    """
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{file} holds no tensors by name.", "Give a file made by torch.save(network.state_dict()).")
    foreign = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if foreign:
        raise WeightsError(f"{file} holds entries that are no tensors: {', '.join(foreign[:6])}.", "Check the file.")
    return {str(key): value for key, value in content.items()}

"""The one door to diffusers and transformers: Stable Diffusion and TAESD weights.

A location is a local diffusers directory or a hub id. Where there is no network a local directory does; the phase
`base` writes such a directory with small networks.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from rssr.diffusion.schedule import NoiseSchedule, scaled_linear_schedule
from rssr.errors import WeightsError
from rssr.weights.missing import MissingWeights

# diffusers' classes carry no types; they are plain modules to us, with a `config` mapping.
Component = Any

STABLE_DIFFUSION = "stabilityai/sd-turbo"
TINY_AUTOENCODER = "madebyollin/taesd"
PROMPT_FILE = "empty_prompt.safetensors"
PROMPT_TOKENS = 77
_PROMPT_WIDTH = 1024

# Stable Diffusion 2.1's sizes, where networks are built without its directory.
_UNET = MappingProxyType(
    {
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "attention_head_dim": (5, 10, 20, 20),
        "cross_attention_dim": _PROMPT_WIDTH,
        "use_linear_projection": True,
    }
)
_AUTOENCODER = MappingProxyType(
    {
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "latent_channels": 4,
    }
)

_PATIENCE_S = 10.0  # with a hub that does not answer

# diffusers imports this package where it happens to be installed; it then warns about kernels that nobody here calls.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


@dataclass(frozen=True)
class BaseLocations:
    """Where the pretrained networks lie.

    Attributes:
        stable_diffusion: Directory or hub id with unet/, vae/, scheduler/, text_encoder/, tokenizer/.
        taesd: Directory or hub id of the tiny autoencoder.
    """

    stable_diffusion: str
    taesd: str

    @classmethod
    def in_folder(cls, folder: Path) -> "BaseLocations":
        """The layout that the phase `base` writes: TAESD in a subfolder."""
        return cls(str(folder), str(folder / "taesd"))


@dataclass(frozen=True)
class BaseOutline:
    """The pretrained networks in their sizes alone: taken for `BaseLocations`, no weights are read.

    Attributes:
        unet: Builds the UNet.
        autoencoder: Builds the AutoencoderKL.
        tiny_autoencoder: Builds the AutoencoderTiny.
        prompt_shape: Tokens and width of the prompt's embedding.
    """

    unet: Callable[[], Component]
    autoencoder: Callable[[], Component]
    tiny_autoencoder: Callable[[], Component]
    prompt_shape: tuple[int, int]


BaseSource = BaseLocations | BaseOutline


def outline_of(locations: BaseLocations) -> BaseOutline:
    """The outline of pretrained networks: a directory's own configuration; of a hub id, as Stable Diffusion 2.1.

    Raises:
        WeightsError: If a directory lacks a configuration.
    """
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel

    source, width = locations.stable_diffusion, _PROMPT_WIDTH
    if _is_path(source):
        width = _load_plain(UNet2DConditionModel.load_config, source, "unet")["cross_attention_dim"]
    return BaseOutline(
        unet=lambda: _create_like(UNet2DConditionModel, source, "unet", create_unet),
        autoencoder=lambda: _create_like(AutoencoderKL, source, "vae", create_autoencoder),
        tiny_autoencoder=lambda: _create_like(AutoencoderTiny, locations.taesd, None, create_tiny_autoencoder),
        prompt_shape=(PROMPT_TOKENS, width),
    )


def find_missing(locations: BaseLocations) -> list[MissingWeights]:
    """Find out at once which locations lack a part that will be loaded.

    Directories are looked into; hub ids are looked up in the hub's cache, else asked of the hub.
    """
    found = []
    for key, location, parts in (
        ("base_weights.stable_diffusion", locations.stable_diffusion, ("unet", "vae", "scheduler")),
        ("base_weights.taesd", locations.taesd, (None,)),
    ):
        require = _require_configuration if _is_path(location) else _require_at_hub
        try:
            for part in parts:
                require(location, part)
        except WeightsError:
            place, command = _looked_in(location), _download(location, parts[0])
            folder = location if _is_path(location) else "DIR"
            setting, instead = f"{key}={folder}", "leave base_weights.stable_diffusion unset for small stand-ins"
            found.append(MissingWeights(location, f"looked in {place}", command, setting, instead))
    return found


def create_unet(**config: object) -> Component:
    """UNet2DConditionModel with random weights; values replace Stable Diffusion 2.1's."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**{**_UNET, **config}).eval()


def create_autoencoder(**config: object) -> Component:
    """AutoencoderKL with random weights; values replace Stable Diffusion 2.1's."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(**{**_AUTOENCODER, **config}).eval()


def create_tiny_autoencoder(**config: object) -> Component:
    """AutoencoderTiny with random weights; values replace TAESD's."""
    from diffusers import AutoencoderTiny

    return AutoencoderTiny(**config).eval()


def load_unet(locations: BaseSource) -> Component:
    """UNet2DConditionModel in eval mode."""
    from diffusers import UNet2DConditionModel

    if isinstance(locations, BaseOutline):
        return locations.unet().eval()
    return _load(UNet2DConditionModel, locations.stable_diffusion, "unet")


def load_autoencoder(locations: BaseSource) -> Component:
    """AutoencoderKL in eval mode; its latents times `config.scaling_factor` have unit deviation."""
    from diffusers import AutoencoderKL

    if isinstance(locations, BaseOutline):
        return locations.autoencoder().eval()
    return _load(AutoencoderKL, locations.stable_diffusion, "vae")


def load_tiny_autoencoder(locations: BaseSource) -> Component:
    """AutoencoderTiny (TAESD) in eval mode."""
    from diffusers import AutoencoderTiny

    if isinstance(locations, BaseOutline):
        return locations.tiny_autoencoder().eval()
    return _load(AutoencoderTiny, locations.taesd, None)


def load_schedule(locations: BaseSource) -> NoiseSchedule:
    """The noise schedule that the UNet was trained with."""
    from diffusers import DDPMScheduler

    if isinstance(locations, BaseOutline):
        return scaled_linear_schedule()
    source = locations.stable_diffusion
    config = {"prediction_type": "epsilon", **_load_plain(DDPMScheduler.load_config, source, "scheduler")}
    for key, needed in (("beta_schedule", "scaled_linear"), ("prediction_type", "epsilon")):
        if config.get(key) != needed:
            raise WeightsError(
                f"The scheduler in {source} has {key} '{config.get(key)}'; SlimDiffSR needs '{needed}'.",
                f"Use {STABLE_DIFFUSION} or stable-diffusion-2-1-base.",
            )
    return scaled_linear_schedule(config["beta_start"], config["beta_end"], config["num_train_timesteps"])


def load_prompt_embedding(locations: BaseSource) -> Tensor:
    """Text embedding of the empty prompt, [1, tokens, width].

    Read from a stored file where there is one (the networks need no other text), else computed once.
    """
    from safetensors.torch import load_file

    if isinstance(locations, BaseOutline):
        return torch.zeros(1, *locations.prompt_shape)
    stored = Path(locations.stable_diffusion).expanduser() / PROMPT_FILE
    if not stored.is_file():
        return compute_prompt_embedding(locations)
    try:
        return load_file(stored)["embedding"]
    except (SafetensorError, KeyError) as error:
        raise WeightsError(f"{stored} cannot be read ({error}).", "Delete it; it is computed again.") from None


def compute_prompt_embedding(locations: BaseLocations) -> Tensor:
    """Run the CLIP text encoder on the empty prompt; returns [1, tokens, width]."""
    from transformers import CLIPTextModel, CLIPTokenizer

    source = locations.stable_diffusion
    tokenizer = _load_plain(CLIPTokenizer.from_pretrained, source, "tokenizer")
    encoder = _load(CLIPTextModel, source, "text_encoder").float()
    tokens = tokenizer("", padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt")
    with torch.no_grad():
        embedding: Tensor = encoder(tokens.input_ids)[0]
    return embedding


def freeze(network: nn.Module) -> nn.Module:
    """Evaluation mode without gradients; returns the network."""
    return network.requires_grad_(False).eval()


@contextmanager
def quietly() -> Iterator[None]:
    """Silence the progress bars and warnings of diffusers and transformers; errors still arrive.

    For local files, which are read in a moment. The user's own settings are restored.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    try:
        for library in libraries:
            library.set_verbosity_error()
            library.disable_progress_bar()
        yield
    finally:
        for library, (verbosity, has_bars) in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
            if has_bars:
                library.enable_progress_bar()


def _load(kind: Component, location: str, subfolder: str | None) -> Component:
    return _load_plain(kind.from_pretrained, location, subfolder, use_safetensors=True).eval()


def _load_plain(load: Callable[..., Any], location: str, subfolder: str | None, **options: bool) -> Component:
    """Call one of the libraries' loaders on a directory or hub id; every failure becomes a `WeightsError`."""
    arguments: dict[str, Any] = dict(options)
    if subfolder is not None:
        arguments["subfolder"] = subfolder
    try:
        if not _is_path(location):
            return load(location, **arguments)
        _require_configuration(location, subfolder)
        with quietly():
            return load(Path(location).expanduser(), local_files_only=True, **arguments)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _missing(location, subfolder, error) from None


def _create_like(
    kind: Component, location: str, subfolder: str | None, published: Callable[[], Component]
) -> Component:
    """A network with a directory's configuration, else as published; random weights."""
    if not _is_path(location):
        return published()
    return kind.from_config(_load_plain(kind.load_config, location, subfolder)).eval()


def _require_configuration(location: str, subfolder: str | None) -> None:
    part = Path(location).expanduser() / (subfolder or "")
    if not any(part.glob("*.json")):
        raise _missing(location, subfolder, FileNotFoundError(f"{part} holds no configuration"))


def _require_at_hub(location: str, subfolder: str | None) -> None:
    from huggingface_hub import get_session, get_token, hf_hub_url, try_to_load_from_cache

    configuration = "scheduler_config.json" if subfolder == "scheduler" else "config.json"
    name = f"{subfolder}/{configuration}" if subfolder else configuration
    try:
        if isinstance(try_to_load_from_cache(location, name), str):
            return
        # Not through the loaders, which would try again and again for half a minute.
        headers = {"authorization": f"Bearer {token}"} if (token := get_token()) else {}
        url = hf_hub_url(location, name)
        get_session().head(url, headers=headers, timeout=_PATIENCE_S, follow_redirects=True).raise_for_status()
    except Exception as error:  # of the hub's client and of the one that it is built on
        raise _missing(location, subfolder, error) from None


def _is_path(location: str) -> bool:
    """Whether a location is meant as a directory: it is one, or cannot be a hub id (`owner/name`)."""
    path = Path(location).expanduser()
    return path.is_dir() or path.is_absolute() or location.startswith(".") or location.count("/") != 1


def _missing(location: str, subfolder: str | None, error: Exception) -> WeightsError:
    part = f" (part '{subfolder}')" if subfolder else ""
    if _is_path(location):
        remedy = "Give a directory written by save_pretrained with safetensors, or fetch one: "
        remedy += f"`{_download(location, subfolder)}`."
    else:
        key = "base_weights.stable_diffusion" if subfolder else "base_weights.taesd"
        remedy = f"On a machine with a network run `{_download(location, subfolder)}` and set {key}=DIR."
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    looked = _looked_in(location)
    return WeightsError(f"Base weights '{location}'{part} not usable: looked in {looked} ({reason[:160]}).", remedy)


def _looked_in(location: str) -> str:
    if _is_path(location):
        return f"the directory {location}"
    from huggingface_hub.constants import HF_HUB_CACHE

    return f"a directory of that name, the hub's cache {HF_HUB_CACHE} and the hub"


def _download(location: str, subfolder: str | None) -> str:
    """The command that fetches a hub id, or what belongs into a directory."""
    if not _is_path(location):
        return f"hf download {location} --local-dir DIR"
    return f"hf download {STABLE_DIFFUSION if subfolder else TINY_AUTOENCODER} --local-dir {location}"

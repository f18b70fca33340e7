"""The one door to diffusers and transformers: Stable Diffusion and TAESD weights.

A location is a local diffusers directory or a hub id. Where there is no network a local directory does; the phase
`base` writes such a directory with small networks.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rssr.diffusion.schedule import NoiseSchedule, scaled_linear_schedule
from rssr.errors import WeightsError

# diffusers' classes carry no types; they are plain modules to us, with a `config` mapping.
Component = Any

STABLE_DIFFUSION = "stabilityai/sd-turbo"
TINY_AUTOENCODER = "madebyollin/taesd"
PROMPT_FILE = "empty_prompt.safetensors"


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


def load_unet(locations: BaseLocations) -> Component:
    """UNet2DConditionModel in eval mode."""
    from diffusers import UNet2DConditionModel

    return _load(UNet2DConditionModel, locations.stable_diffusion, "unet")


def load_autoencoder(locations: BaseLocations) -> Component:
    """AutoencoderKL in eval mode; its latents times `config.scaling_factor` have unit deviation."""
    from diffusers import AutoencoderKL

    return _load(AutoencoderKL, locations.stable_diffusion, "vae")


def load_tiny_autoencoder(locations: BaseLocations) -> Component:
    """AutoencoderTiny (TAESD) in eval mode."""
    from diffusers import AutoencoderTiny

    return _load(AutoencoderTiny, locations.taesd, None)


def load_schedule(locations: BaseLocations) -> NoiseSchedule:
    """The noise schedule that the UNet was trained with."""
    from diffusers import DDPMScheduler

    try:
        config = DDPMScheduler.load_config(locations.stable_diffusion, subfolder="scheduler")
    except (OSError, ValueError) as error:
        raise _missing(locations.stable_diffusion, "scheduler", error) from None
    if config.get("beta_schedule") != "scaled_linear":
        raise WeightsError(
            f"The scheduler in {locations.stable_diffusion} has the schedule '{config.get('beta_schedule')}'.",
            "SlimDiffSR needs Stable Diffusion's 'scaled_linear'.",
        )
    return scaled_linear_schedule(config["beta_start"], config["beta_end"], config["num_train_timesteps"])


def load_prompt_embedding(locations: BaseLocations) -> Tensor:
    """Text embedding of the empty prompt, [1, tokens, width].

    Read from a stored file where there is one (the networks need no other text), else computed once.
    """
    from safetensors.torch import load_file

    stored = Path(locations.stable_diffusion) / PROMPT_FILE
    if stored.is_file():
        return load_file(stored)["embedding"]
    return compute_prompt_embedding(locations)


def compute_prompt_embedding(locations: BaseLocations) -> Tensor:
    """Run the CLIP text encoder on the empty prompt; returns [1, tokens, width]."""
    from transformers import CLIPTextModel, CLIPTokenizer

    source = locations.stable_diffusion
    tokenizer = _load_plain(CLIPTokenizer, source, "tokenizer")
    encoder = _load_plain(CLIPTextModel, source, "text_encoder").eval()
    tokens = tokenizer("", padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt")
    with torch.no_grad():
        embedding: Tensor = encoder(tokens.input_ids)[0]
    return embedding


def freeze(network: nn.Module) -> nn.Module:
    """Evaluation mode without gradients; returns the network."""
    return network.requires_grad_(False).eval()


def _load(kind: Component, location: str, subfolder: str | None) -> Component:
    model = _load_plain(kind, location, subfolder, use_safetensors=True)
    return model.eval()


def _load_plain(kind: Component, location: str, subfolder: str | None, **options: bool) -> Component:
    arguments: dict[str, Any] = dict(options)
    if subfolder is not None:
        arguments["subfolder"] = subfolder
    if Path(location).is_dir():
        arguments["local_files_only"] = True
        part = Path(location) / (subfolder or "")
        if not any(part.glob("*.json")):
            raise _missing(location, subfolder, FileNotFoundError(f"{part} holds no configuration"))
    try:
        return kind.from_pretrained(location, **arguments)
    except (OSError, ValueError) as error:
        raise _missing(location, subfolder, error) from None


def _missing(location: str, subfolder: str | None, error: Exception) -> WeightsError:
    part = f" (part '{subfolder}')" if subfolder else ""
    if Path(location).is_dir():
        looked = f"the directory {location}"
        name = STABLE_DIFFUSION if subfolder else TINY_AUTOENCODER
        remedy = (
            "Check that it was written by save_pretrained with safetensors, or fetch it again with "
            f"`hf download {name} --local-dir {location}`."
        )
    else:
        from huggingface_hub.constants import HF_HUB_CACHE

        looked = f"no directory of that name, nor the hub cache {HF_HUB_CACHE}, nor the hub"
        remedy = (
            f"On a machine with a network run `hf download {location} --local-dir DIR` and pass DIR; for small "
            "stand-ins trained on the spot leave base_weights.stable_diffusion unset."
        )
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return WeightsError(f"Base weights '{location}'{part} not found: looked in {looked} ({reason[:160]}).", remedy)

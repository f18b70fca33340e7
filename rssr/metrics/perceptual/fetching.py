"""Fetch the weights of metrics through pyiqa, when a user asks for it: all else works without a network connection."""

from collections.abc import Iterable
from pathlib import Path

from rssr.metrics.spec import metric_spec
from rssr.metrics.weight_files import (
    ALEXNET,
    CLIP_RN50,
    DISTS_WEIGHTS,
    INCEPTION,
    LPIPS_LINEAR,
    MANIQA_KONIQ,
    MUSIQ_KONIQ,
    NIQE_PRISTINE,
    VGG16,
    metric_weights_folder,
)
from rssr.publish import write_aside


def fetch_weights(names: Iterable[str], folder: str | Path | None = None) -> None:
    """Fetch what metrics lack, from where pyiqa and torchvision say that it lies.

    Args:
        names: Metrics.
        folder: Where the files shall lie, which is made; None: where `metric_weights_folder` says.

    Raises:
        ConfigError: A name is no metric's.
        OSError: There is no network, or the folder cannot be written.
    """
    place = metric_weights_folder(folder)
    place.mkdir(parents=True, exist_ok=True)
    for file in dict.fromkeys(file for name in names for file in metric_spec(name).weights):
        if (place / file).is_file():
            continue
        if file == CLIP_RN50.name:
            _fetch_clip(place / file)
        else:
            _fetch(file, place)


def address_of(file: str) -> str:
    """Where pyiqa or torchvision say that a file lies; none is written here.

    Raises:
        KeyError: They have no such file, or CLIP's, which is made of another.
    """
    from pyiqa.archs import dists_arch, inception, lpips_arch, maniqa_arch, musiq_arch, niqe_arch
    from torchvision.models import AlexNet_Weights, VGG16_Weights

    addresses: dict[str, str] = {
        ALEXNET.name: AlexNet_Weights.IMAGENET1K_V1.url,
        VGG16.name: VGG16_Weights.IMAGENET1K_V1.url,
        LPIPS_LINEAR.name: lpips_arch.default_model_urls["0.1_alex"],
        DISTS_WEIGHTS.name: dists_arch.default_model_urls["url"],
        MANIQA_KONIQ.name: maniqa_arch.default_model_urls["koniq"],
        MUSIQ_KONIQ.name: musiq_arch.default_model_urls["koniq10k"],
        NIQE_PRISTINE.name: niqe_arch.default_model_urls["niqe"],
        INCEPTION.name: inception.FID_WEIGHTS_URL,
    }
    return addresses[file]


def _fetch(file: str, folder: Path) -> None:
    from pyiqa.utils.download_util import load_file_from_url

    load_file_from_url(address_of(file), str(folder), file_name=file)  # moves it there when it is whole


def _fetch_clip(path: Path) -> None:
    """OpenAI's file is a program with tensors in it. pyiqa checks its digest; the tensors are kept, not the program."""
    from pyiqa.archs import clip_model
    from safetensors.torch import save_file

    state = clip_model.load("RN50", "cpu").state_dict()
    with write_aside(path) as aside:
        save_file({name: value.contiguous() for name, value in state.items()}, aside)

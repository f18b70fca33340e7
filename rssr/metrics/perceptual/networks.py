"""pyiqa's networks with random weights, built without fetching anything.

Its constructors fetch backbones from the internet whatever they are told. So the names by which they reach the
functions that fetch stand for others while a network is built.
"""

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any

from torch import nn

_BUILDING = threading.Lock()
# OpenAI's RN50.
_CLIP_SHAPE: Mapping[str, Any] = MappingProxyType(
    {
        "embed_dim": 1024,
        "image_resolution": 224,
        "vision_layers": (3, 4, 6, 3),
        "vision_width": 64,
        "vision_patch_size": None,
        "context_length": 77,
        "vocab_size": 49408,
        "transformer_width": 512,
        "transformer_heads": 8,
        "transformer_layers": 12,
    }
)


def build_network(name: str) -> nn.Module:
    """The network of a metric as pyiqa configures it, with random weights, ready to measure.

    Args:
        name: A metric of pyiqa that has a network: all but `niqe`. `fid` and `kid` share one, which gives features.
    """
    with _BUILDING:
        return _BUILDERS[name]().eval().requires_grad_(False)


def part_with_weights(network: nn.Module) -> nn.Module:
    """The part of a network that files fill: all of it, but CLIP-IQA hides CLIP in a list."""
    part: nn.Module = getattr(network, "clip_model", [network])[0]
    return part


@contextmanager
def _replaced(module: ModuleType, name: str, substitute: object) -> Iterator[None]:
    kept = getattr(module, name)
    setattr(module, name, substitute)
    try:
        yield
    finally:
        setattr(module, name, kept)


def _options(name: str) -> dict[str, Any]:
    """What pyiqa gives to the constructor of a metric, without its own weights."""
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    options = {**DEFAULT_CONFIGS[name]["metric_opts"], "pretrained": False}
    del options["type"]
    return options


def _lpips() -> nn.Module:
    from pyiqa.archs import lpips_arch
    from torchvision.models import alexnet

    with _replaced(lpips_arch, "models", SimpleNamespace(alexnet=lambda **_: alexnet(weights=None))):
        network: nn.Module = lpips_arch.LPIPS(**_options("lpips"))
    return network


def _dists() -> nn.Module:
    from pyiqa.archs import dists_arch
    from torchvision.models import vgg16

    with _replaced(dists_arch, "models", SimpleNamespace(vgg16=lambda **_: vgg16(weights=None))):
        network: nn.Module = dists_arch.DISTS(**_options("dists"))
    return network


def _maniqa() -> nn.Module:
    from pyiqa.archs import maniqa_arch

    create_model = maniqa_arch.timm.create_model
    backbones = SimpleNamespace(create_model=lambda name, **_: create_model(name, pretrained=False))
    with _replaced(maniqa_arch, "timm", backbones):
        network: nn.Module = maniqa_arch.MANIQA(**_options("maniqa"))
    return network


def _musiq() -> nn.Module:
    from pyiqa.archs import musiq_arch

    network: nn.Module = musiq_arch.MUSIQ(**_options("musiq"))
    return network


def _clipiqa() -> nn.Module:
    from pyiqa.archs import clip_model, clipiqa_arch

    clip = clip_model.CLIP(**_CLIP_SHAPE).eval()
    with _replaced(clipiqa_arch, "load", lambda *_: clip):
        network: nn.Module = clipiqa_arch.CLIPIQA(**_options("clipiqa"))
    return network


def _inception() -> nn.Module:
    """Inception as FID has it, under torchvision's names."""
    from pyiqa.archs import inception

    with warnings.catch_warnings(), _replaced(inception, "load_pretrained_network", lambda *_: None):
        warnings.simplefilter("ignore")  # torchvision's, about arguments that pyiqa gives
        network: nn.Module = inception.fid_inception_v3()
    return network


_BUILDERS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "lpips": _lpips,
        "dists": _dists,
        "maniqa": _maniqa,
        "musiq": _musiq,
        "clipiqa": _clipiqa,
        "fid": _inception,
        "kid": _inception,
    }
)

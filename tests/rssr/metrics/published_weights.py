"""Files of metrics in the layouts in which they are published, with random values."""

import shutil
from collections.abc import Callable
from pathlib import Path

import clip.model
import lpips
import numpy as np
import torch
from safetensors.torch import save_file
from scipy.io import savemat
from torch import nn
from torchvision.models import alexnet, vgg16

from rssr.metrics import weight_files
from rssr.metrics.perceptual.networks import build_network

NUM_DISTS_WEIGHTS = 3 + 64 + 128 + 256 + 512 + 512


def write_weights(metric: str, folder: Path) -> None:
    """All files of a metric."""
    torch.manual_seed(0)
    _WRITERS[metric](folder)


def _lpips(folder: Path) -> None:
    torch.save(alexnet(weights=None).state_dict(), folder / weight_files.ALEXNET.name)
    # The published file itself: the lpips package has it, and pyiqa's name for it holds its digest.
    shutil.copy(Path(lpips.__file__).parent / "weights/v0.1/alex.pth", folder / weight_files.LPIPS_LINEAR.name)


def _dists(folder: Path) -> None:
    torch.save(vgg16(weights=None).state_dict(), folder / weight_files.VGG16.name)
    shape = (1, NUM_DISTS_WEIGHTS, 1, 1)
    torch.save({"alpha": torch.rand(shape), "beta": torch.rand(shape)}, folder / weight_files.DISTS_WEIGHTS.name)


def _maniqa(folder: Path) -> None:
    torch.save(build_network("maniqa").state_dict(), folder / weight_files.MANIQA_KONIQ.name)


def _musiq(folder: Path) -> None:
    state = build_network("musiq").state_dict()
    state["head.bias"].fill_(50)  # the middle of the scale of opinions
    torch.save(state, folder / weight_files.MUSIQ_KONIQ.name)


def _niqe(folder: Path) -> None:
    write_pristine(folder, mean=1.0)


def write_pristine(folder: Path, mean: float, num_features: int = 36) -> None:
    """Statistics of pristine images as NIQE's authors publish them, made up."""
    statistics = {"mu_prisparam": np.full((1, num_features), mean), "cov_prisparam": np.eye(num_features) / 10}
    savemat(folder / weight_files.NIQE_PRISTINE.name, statistics)


def _clipiqa(folder: Path) -> None:
    network = clip.model.CLIP(1024, 224, (3, 4, 6, 3), 64, None, 77, 49408, 512, 8, 12)  # OpenAI's own RN50
    save_file(network.state_dict(), folder / weight_files.CLIP_RN50.name)


def _inception(folder: Path) -> None:
    state = build_network("fid").state_dict()
    # Layers as they are made let a signal fade; these keep it.
    for name, value in state.items():
        if name.endswith("conv.weight"):
            nn.init.kaiming_normal_(value)
    # The published file is older than counters of batches.
    published = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(published, folder / weight_files.INCEPTION.name)


_WRITERS: dict[str, Callable[[Path], None]] = {
    "lpips": _lpips,
    "dists": _dists,
    "maniqa": _maniqa,
    "musiq": _musiq,
    "niqe": _niqe,
    "clipiqa": _clipiqa,
    "fid": _inception,
    "kid": _inception,
}

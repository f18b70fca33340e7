"""Networks of the perceptual and adversarial losses with random weights, in the published layouts."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from rssr.losses.lpips import LPIPS
from rssr.weights.auxiliary import DINO_FILE, LPIPS_FILE, VGG_FILE


@pytest.fixture(scope="session")
def auxiliary(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("auxiliary")
    torch.manual_seed(8)
    metric = LPIPS()
    state = metric.state_dict()
    save_file({name: value for name, value in state.items() if name.startswith("features.")}, folder / VGG_FILE)
    linear = {f"lin{i}.model.1.weight": torch.rand_like(weight) for i, weight in enumerate(metric.linear)}
    save_file(linear, folder / LPIPS_FILE)
    save_file(timm.create_model("vit_small_patch16_224.dino", pretrained=False).state_dict(), folder / DINO_FILE)
    return str(folder)

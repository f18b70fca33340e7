from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipelines.loop.panels import panel_image
from rssr.methods.phase import Batch, Loss, Objective, Phase

CPU = torch.device("cpu")


class Silent(Objective):
    """Would be noisy in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.9)

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        raise NotImplementedError


class Inverting(Phase):
    name = "inverting"

    def __init__(self) -> None:
        self.objective = Silent().train()

    def objectives(self) -> Mapping[str, Objective]:
        return {"main": self.objective}

    def validate(self, batch: Batch) -> dict[str, float]:
        return {}

    def preview(self, batch: Batch) -> Tensor:
        image: Tensor = self.objective.dropout(-1.5 * batch.hr)
        return image

    def export(self, folder: Path) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("num_patches", [1, 3, 9])
def test_a_row_shows_lr_bicubic_the_image_and_hr_for_up_to_four_patches(num_patches: int) -> None:
    generator = torch.Generator().manual_seed(1)
    hr = torch.rand(num_patches, 3, 32, 24, generator=generator) * 2 - 1
    lr = torch.full((num_patches, 3, 8, 6), 0.0)
    pixels = panel_image(Inverting(), [Batch(lr, hr, 4.0)], CPU)
    rows = min(num_patches, 4)
    assert pixels.shape == (rows * 32 + (rows - 1) * 4, 4 * 24 + 3 * 4, 3)
    low, bicubic, image, truth = (pixels[:32, start : start + 24].astype(int) for start in (0, 28, 56, 84))
    assert np.all(np.abs(bicubic - 127.5) <= 1)
    assert np.all(np.abs(low - 127.5) <= 1)
    expected = (hr[0].permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(truth - expected).max() <= 0.5 + 1e-3
    assert np.abs(image - np.clip(255 * 1.25 - 1.5 * expected, 0, 255)).max() <= 1
    assert np.all(pixels[:, 24:28] == 255)


def test_panels_are_equal_for_equal_networks() -> None:
    batch = Batch(torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 16, 16) * 0.2, 4.0)
    assert np.array_equal(panel_image(Inverting(), [batch], CPU), panel_image(Inverting(), [batch], CPU))


def test_every_scale_has_its_share_of_the_rows() -> None:
    shades = {2.0: -0.5, 3.4: 0.0, 4.0: 0.5}
    batches = [
        Batch(torch.zeros(3, 3, int(32 / scale), int(32 / scale)), torch.full((3, 3, 32, 32), shade), scale)
        for scale, shade in shades.items()
        for _ in range(2)
    ]
    pixels = panel_image(Inverting(), batches, CPU)
    assert pixels.shape[0] == 3 * 32 + 2 * 4
    truth = [pixels[row, -1, 0] for row in (0, 36, 72)]
    assert truth == [round((shade + 1) * 127.5) for shade in shades.values()]
    two = panel_image(Inverting(), batches[:4], CPU)
    assert two.shape[0] == 4 * 32 + 3 * 4, "two rows for each of two scales"

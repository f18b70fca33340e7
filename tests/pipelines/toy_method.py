"""A whole method, a convolution that sharpens bicubic images: all that a new method must bring is in this file."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from rssr.configuration import Config
from rssr.methods.method import Method
from rssr.methods.phase import Batch, Loss, Objective, Phase, PhaseInputs
from rssr.methods.training import TrainingConfig
from rssr.resampling import upsample_bicubic


class ToyConfig(Config):
    sharpen: TrainingConfig


class Sharpen(Objective):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Conv2d(3, 3, 5, padding=2)

    def image(self, batch: Batch) -> Tensor:
        enlarged = upsample_bicubic(batch.lr, (batch.hr.shape[-2], batch.hr.shape[-1]))
        return enlarged + self.kernel(enlarged)

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        loss = (self.image(batch) - batch.hr).abs().mean()
        return Loss(loss, {"l1": loss.detach()})


class SharpenPhase(Phase):
    def __init__(self, config: TrainingConfig, inputs: PhaseInputs) -> None:
        self.name, self.config, self.sharpen = "sharpen", config, Sharpen().to(inputs.device)

    def objectives(self) -> Mapping[str, Objective]:
        return {"sharpen": self.sharpen}

    def preview(self, batch: Batch) -> Tensor:
        return self.sharpen.image(batch)

    def export(self, folder: Path) -> None:
        torch.save(self.sharpen.state_dict(), folder / "sharpen.pt")


class ToyMethod(Method):
    name, phases, config_class = "toy", ("sharpen",), ToyConfig

    def build_phase(self, phase: str, inputs: PhaseInputs) -> Phase:
        return SharpenPhase(self.training_config(phase), inputs)

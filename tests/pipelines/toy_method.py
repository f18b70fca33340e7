"""A whole method: one convolution that sharpens bicubic images. All that a new method must bring is here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rssr.methods.phase import Batch, Loss, Objective, Phase, PhaseInputs
from rssr.methods.training import TrainingConfig
from rssr.methods.validation import psnr
from rssr.resampling import upsample_bicubic


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
    name = "sharpen"

    def __init__(self, config: TrainingConfig, device: torch.device) -> None:
        self.config = config
        self.objective = Sharpen().to(device)

    def objectives(self) -> Mapping[str, Objective]:
        return {"sharpen": self.objective}

    def validate(self, batch: Batch) -> dict[str, float]:
        return {"psnr": psnr(self.objective.image(batch), batch.hr)}

    def preview(self, batch: Batch) -> Tensor:
        return self.objective.image(batch)

    def export(self, folder: Path) -> None:
        torch.save(self.objective.state_dict(), folder / "sharpen.pt")


class ToyMethod:
    name = "toy"
    phases = ("sharpen",)
    product_phases = ()

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.config = TrainingConfig.model_validate(values)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "ToyMethod":
        return cls(values)

    def is_needed(self, phase: str) -> bool:
        return True

    def needed_phases(self, phase: str) -> tuple[str, ...]:
        return ()

    def training_config(self, phase: str) -> TrainingConfig:
        return self.config

    def digest_config(self, phase: str) -> dict[str, object]:
        return self.config.digest_values()

    def build_phase(self, phase: str, inputs: PhaseInputs) -> Phase:
        return SharpenPhase(self.config, inputs.device)

    def require_files(self, phases: Sequence[str]) -> None:
        return

    def check(self, phase: str, metrics: Mapping[str, float]) -> None:
        return

    def dump(self) -> dict[str, Any]:
        return self.config.model_dump(mode="json")

"""A method of one phase, small enough to train in any number of processes: noise, dropout and a moving average."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.loop.batches import shares_of_process
from rssr.methods.phase import Average, Batch, Loss, Objective, Phase
from rssr.methods.training import TrainingConfig


class Denoiser(Objective):
    """Learns HR from LR with dropout and noise, so that any lost random state would show."""

    def __init__(self, width: int, keeps_own_statistic: bool = False) -> None:
        super().__init__()
        self.keeps_own_statistic = keeps_own_statistic  # as no objective should
        inner = nn.ModuleList(nn.Sequential(nn.Conv2d(width, width, 1), nn.Dropout(0.2)) for _ in range(2))
        self.first, self.inner, self.last = nn.Conv2d(3, width, 3, padding=1), inner, nn.Conv2d(width, 3, 1)
        self.unheard = nn.Linear(2, 2)  # a parameter that no loss reaches
        self.register_buffer("level", torch.ones(()))  # a running statistic that the loss uses

    def image(self, lr: Tensor) -> Tensor:
        """The denoised image."""
        x = self.first(lr)
        for block in self.inner:
            x = x + torch.tanh(block(x))
        image: Tensor = self.last(x)
        return image

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        sr = self.image(batch.lr + 0.1 * torch.randn_like(batch.lr))
        loss = (sr - batch.hr).abs().mean()
        terms = {"l1": loss.detach(), "spread": batch.hr.std()}
        if self.keeps_own_statistic:
            self.get_buffer("level").copy_(terms["spread"])
        return Loss(loss * self.get_buffer("level"), terms, {"sr": sr.detach()})

    def finish_step(self, terms: Mapping[str, float]) -> None:
        if self.keeps_own_statistic:
            return
        level = self.get_buffer("level")
        level.lerp_(level.new_tensor(terms["spread"]), 0.2)


class Critic(Objective):
    """Starts late, and normalises over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))

    def active_steps(self, num_steps: int) -> range:
        return range(2, num_steps)

    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        loss = (1 - self.net(batch.hr)).relu().mean() + (1 + self.net(carry["sr"])).relu().mean()
        return Loss(loss, {"critic": loss.detach()})


class ToyPhase(Phase):
    """One or two optimizers, as asked."""

    name = "toy"

    def __init__(
        self, config: TrainingConfig, width: int = 8, with_critic: bool = False, keeps_own_statistic: bool = False
    ) -> None:
        torch.manual_seed(3)
        self.config = config
        self.main = Denoiser(width, keeps_own_statistic)
        self.critic = Critic() if with_critic else None
        self.average = Denoiser(width).requires_grad_(False)

    def objectives(self) -> Mapping[str, Objective]:
        return {"main": self.main} if self.critic is None else {"main": self.main, "critic": self.critic}

    def averages(self) -> Sequence[Average]:
        return [Average(self.main, self.average, 0.9)]

    def validate(self, batch: Batch) -> dict[str, float]:
        return {"error": float((self.preview(batch) - batch.hr).abs().mean())}

    def preview(self, batch: Batch) -> Tensor:
        return self.main.image(batch.lr)

    def export(self, folder: Path) -> None:
        (folder / "nothing").write_text("")

    def digest(self) -> str:
        """SHA-256 of all tensors."""
        digest = hashlib.sha256()
        for module in (self.main, self.critic, self.average):
            for name, value in sorted(module.state_dict().items()) if module is not None else ():
                digest.update(name.encode() + value.numpy().tobytes())
        return digest.hexdigest()


class ToyStream:
    """A process's part of batches that depend on (step, micro-batch, sample) alone."""

    def __init__(self, config: TrainingConfig, num_shares: int, rank: int = 0, world_size: int = 1) -> None:
        self._config = config
        numbers = shares_of_process(num_shares, rank, world_size)
        self._part = slice(numbers.start * config.batch_size, numbers.stop * config.batch_size)
        self._num_samples = num_shares * config.batch_size

    def __call__(self, start_step: int) -> Iterator[Mapping[str, Any]]:
        for step in range(start_step, self._config.num_steps):
            for micro in range(self._config.micro_batches_per_step):
                rng = np.random.default_rng((step, micro))
                images = rng.integers(0, 256, (self._num_samples, 8, 8, 3), dtype=np.uint8)[self._part]
                yield {"lr": images, "hr": images[:, ::-1], "scale": 1.0, "step": step, "micro_batch": micro}

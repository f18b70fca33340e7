"""What a method gives the training loop: phases, and one objective an optimizer.

A phase names its networks, computes one loss per optimizer for a batch and says what to validate. The loop owns
everything else (backward, step, averaging, precision, checkpoints, resume, reports) and never asks which method
it runs. Objectives are `nn.Module`s whose forward is the loss, so that data-parallel wrappers see every gradient.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from rssr.methods.training import TrainingConfig
from rssr.methods.validation import psnr
from rssr.resampling import upsample_bicubic


@dataclass(frozen=True)
class Batch:
    """One micro-batch of image pairs.

    Attributes:
        lr: [B, C, h, w], values in [-1, 1].
        hr: [B, C, H, W], values in [-1, 1].
        scale: H / h as drawn by the plan; equal for the whole micro-batch.
    """

    lr: Tensor
    hr: Tensor
    scale: float

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return Batch(self.lr.to(device), self.hr.to(device), self.scale)


@dataclass
class Loss:
    """What an objective returns.

    Attributes:
        total: Scalar to minimise, with its graph.
        terms: Named scalars to log, detached.
        carry: Detached tensors for the objectives that follow in the same step, e.g. the SR image that a
            discriminator judges, so that it is not computed twice.
    """

    total: Tensor
    terms: dict[str, Tensor]
    carry: dict[str, Tensor] = field(default_factory=dict)


class Objective(nn.Module, ABC):
    """One optimizer's loss. Its trained parameters are those that require gradients."""

    def active_steps(self, num_steps: int) -> range:
        """Steps at which this objective is trained; its learning rate follows its own schedule over them.

        Args:
            num_steps: Steps of the whole phase.
        """
        return range(num_steps)

    @abstractmethod
    def forward(self, batch: Batch, step: int, carry: Mapping[str, Tensor]) -> Loss:
        """The loss of one micro-batch; `carry` holds what earlier objectives of the step left."""

    def finish_step(self, terms: Mapping[str, float]) -> None:
        """Take note of a step that was taken, e.g. in running statistics, which buffers hold.

        What a loss finds out about the samples of one process must not go into a buffer by another way: buffers would
        differ between processes, and a checkpoint holds those of one.

        Args:
            terms: What the losses of the step logged, as means over all samples of all processes.
        """
        return

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters that this objective's optimizer updates, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def trained_state(self) -> dict[str, Tensor]:
        """Trained parameters and all persistent buffers: what a checkpoint must hold."""
        buffers = {name for name, _ in self.named_buffers()}
        kept = self.trained_parameters().keys() | buffers
        return {name: value for name, value in self.state_dict(keep_vars=True).items() if name in kept}


@dataclass(frozen=True)
class Average:
    """An exponential moving average that the loop maintains.

    Attributes:
        source: Network being trained.
        target: Its average; frozen, of the same architecture.
        max_decay: Upper bound d of the decay min(d, (1 + n) / (10 + n)) after n updates.
    """

    source: nn.Module
    target: nn.Module
    max_decay: float


class Phase(ABC):
    """One stage of a method's training.

    Built inside the training process from plain configuration and the folders that earlier phases wrote.
    """

    name: str
    config: TrainingConfig

    @abstractmethod
    def objectives(self) -> Mapping[str, Objective]:
        """Losses in the order in which they run within a step, by optimizer name."""

    def averages(self) -> Sequence[Average]:
        """Moving averages to maintain; none unless the method says so."""
        return ()

    def networks(self) -> Mapping[str, nn.Module]:
        """All networks that a training step runs, trained and frozen, by name; they may share parts."""
        return dict(self.objectives())

    def validate(self, batch: Batch) -> dict[str, float]:
        """Metrics of a held-out batch: PSNR of the preview and of bicubic, dB, unless the method says otherwise."""
        lr_upsampled = upsample_bicubic(batch.lr, (batch.hr.shape[-2], batch.hr.shape[-1]))
        return {
            "psnr_db": psnr(self.preview(batch), batch.hr),
            "bicubic_psnr_db": psnr(lr_upsampled, batch.hr),
        }

    @abstractmethod
    def preview(self, batch: Batch) -> Tensor:
        """The image this phase is about, for panels: [B, 3, H, W] in [-1, 1]."""

    def calibrate(self, pairs: Iterable[Batch]) -> dict[str, float]:
        """Fit what can only be fitted to the finished network, after the last step and before the export.

        Done anew by a run that was killed meanwhile; it must not depend on whether it was done before.

        Args:
            pairs: Where the phase's configuration `fits_held_out`, whole images of the half that it learned from,
                one after another, prepared as for the evaluation; else nothing.

        Returns:
            Figures that join those of the last validation.
        """
        return {}

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write what later phases and users load into an empty folder."""


@dataclass(frozen=True)
class PhaseInputs:
    """Where a phase finds what it builds on.

    Attributes:
        folders: Output folder of each earlier phase, by phase name.
        device: Where to build.
        reads_weights: Whether networks are filled from files. Otherwise they are built in their sizes alone, e.g. on
            the device `meta`, and `folders` may be empty.
    """

    folders: Mapping[str, Path]
    device: torch.device
    reads_weights: bool = True

    def folder(self, phase: str) -> Path:
        """Output folder of an earlier phase."""
        return self.folders[phase]

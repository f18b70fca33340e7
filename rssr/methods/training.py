"""Optimisation settings that every phase of every method has."""

import math
from typing import Any, ClassVar, Literal

from pydantic import Field

from rssr.configuration import Config

# Values under which a key is left out of digests, so that what was trained before there was such a key is recognised.
_AS_WITHOUT = {
    "lr_patch_size": None,
    "rotations": False,
    "pixel_loss": "l1",
    "initial_log_variance": None,
    "starts_at_difference": False,
}

_BESIDE_THE_RESULT = {
    "log_every_n_steps",
    "validate_every_n_steps",
    "checkpoint_every_n_steps",
    "keep_checkpoints",
    "best_by",
    "divergence_patience",
    "max_loss_growth",
    # Sums in another order, so equal to rounding.
    "parallelism",
    "compile",
    "deterministic",
}


class BestBy(Config):
    """A validation metric that tells which checkpoint is best."""

    metric: str = Field(min_length=1)
    """Its name, e.g. psnr."""
    is_highest: bool = True
    """Whether more is better."""


class TrainingConfig(Config):
    """How one phase is optimised."""

    fits_held_out: ClassVar[bool] = False
    """Whether the phase learns from one half of the held-out images and is validated on the other: for what is fitted
    to a finished network's errors, which are smaller than elsewhere on the images it was trained on."""

    num_steps: int = Field(ge=1)
    """Optimizer steps."""
    batch_size: int = Field(ge=1)
    """Image pairs a worker sees in one micro-batch."""
    patch_size: int = Field(ge=16)
    """Side of the square HR training crop, pixels."""
    lr_patch_size: int | None = Field(default=None, ge=1)
    """Side of the square LR training crop, pixels, where that is what is fixed: HR crops then measure
    int(lr_patch_size * scale), and patch_size is the side of held-out ones alone."""
    rotations: bool = False
    """Whether training crops are also mirrored top to bottom and turned by quarters, besides left to right."""
    learning_rate: float = Field(gt=0)
    """Optimizer step size after warm-up."""
    optimizer: Literal["adam", "adamw"] = "adamw"
    """Update rule."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's two moments."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay; used by adamw only."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises linearly; the last of them has it in full."""
    decay: Literal["none", "cosine"] = "none"
    """How the learning rate falls after warm-up; cosine reaches a hundredth at the last step."""
    micro_batches_per_step: int = Field(default=1, ge=1)
    """Gradient accumulation: micro-batches summed before one optimizer step."""
    max_gradient_norm: float = Field(default=1.0, ge=0)
    """Gradients of one optimizer are scaled down to this norm; 0 leaves them alone."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the forward pass; bfloat16 through autocast."""
    log_every_n_steps: int = Field(default=10, ge=1)
    """Interval of logged losses, steps."""
    validate_every_n_steps: int = Field(default=500, ge=1)
    """Interval of validation on held-out patches, steps; the last step is always validated."""
    checkpoint_every_n_steps: int = Field(default=500, ge=1)
    """Interval of checkpoints, steps."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """Newest checkpoints that are kept."""
    best_by: BestBy | None = None
    """Metric whose best checkpoint is kept besides the newest; null keeps none for that."""
    parallelism: Literal["replicas", "shards"] = "replicas"
    """How parameters lie on several workers: whole on each (DDP), or in pieces (FSDP2) where they do not fit."""
    compile: bool = False
    """Whether networks are compiled by torch.compile; takes minutes at the start and pays in long runs on GPUs."""
    deterministic: bool = True
    """Whether only operations are used that give the same bits every time; some are slower on GPUs."""
    divergence_patience: int = Field(default=3, ge=0)
    """Steps in a row, whose loss or gradients are not finite or whose loss leaps, that are left out before training
    stops."""
    max_loss_growth: float = Field(default=1000, gt=1)
    """A loss leaps where it is more than this many times the largest of the last hundred steps."""

    def learning_rate_at(self, step: int, num_steps: int | None = None) -> float:
        """Learning rate of a step (0 is the first) of a schedule over `num_steps`, by default the phase's."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.decay == "none":
            return self.learning_rate
        progress = (step - self.warmup_steps) / max(1, (num_steps or self.num_steps) - 1 - self.warmup_steps)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))

    def hr_patch_size(self, scale: float) -> int:
        """Side of the square HR training crop at a scale, pixels."""
        return self.patch_size if self.lr_patch_size is None else int(self.lr_patch_size * scale)

    def digest_values(self) -> dict[str, Any]:
        """The settings that decide what a phase yields: all but what is only logged, checked or kept meanwhile."""
        return _without_defaults(self.model_dump(mode="json", exclude=_BESIDE_THE_RESULT))


def _without_defaults(values: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in values.items() if name not in _AS_WITHOUT or value != _AS_WITHOUT[name]}
    return {name: _without_defaults(value) if isinstance(value, dict) else value for name, value in told.items()}

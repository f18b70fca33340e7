"""Optimizers as the phases' settings ask."""

from collections.abc import Sequence

import torch

from pipelines.loop.parallel import whole
from rssr.methods.phase import Objective
from rssr.methods.training import TrainingConfig


def build_optimizer(objective: Objective, config: TrainingConfig) -> torch.optim.Optimizer:
    """Adam or AdamW over the objective's trained parameters."""
    parameters = list(objective.trained_parameters().values())
    rate = config.learning_rate
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, betas=config.betas)
    return torch.optim.AdamW(parameters, lr=rate, betas=config.betas, weight_decay=config.weight_decay)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Use one learning rate for all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def clip_gradients(parameters: Sequence[torch.nn.Parameter], max_norm: float) -> float:
    """Scale gradients down to a joint norm; returns the norm before. A bound of 0 only measures."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0
    norm = torch.nn.utils.get_total_norm(gradients)
    if max_norm > 0:
        torch.nn.utils.clip_grads_with_norm_(list(parameters), max_norm, norm)
    return float(whole(norm))

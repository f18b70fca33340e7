"""Batch normalisation over the samples of all processes."""

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


def synchronise_batch_norm(module: nn.Module) -> None:
    """Make every BatchNorm2d inside a module take its statistics from all processes; tensors and names stay."""
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = SynchronisedBatchNorm2d


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose mean and variance are those of the samples on all processes.

    PyTorch's own refuses tensors on CPUs, where two processes are enough to test that this one is right.
    """

    def forward(self, input: Tensor) -> Tensor:  # the parameter's name in `nn.BatchNorm2d`
        """Normalise [B, C, H, W]; every process must take part with the same C."""
        if not self.training:
            return super().forward(input)
        values = input.float()
        count = values.new_full((1,), values.numel() / values.shape[1])
        sums = torch.cat([values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), count])
        reduced: Tensor = all_reduce(sums)  # type: ignore[no-untyped-call]
        total, squares, num = torch.split(reduced, [values.shape[1], values.shape[1], 1])
        mean = total / num
        variance = (squares / num - mean.square()).clamp_min(0)
        self._remember(mean.detach(), (variance * num / (num - 1)).detach())
        scale = torch.rsqrt(variance + self.eps)
        normed = (values - mean[:, None, None]) * scale[:, None, None]
        if self.affine:
            normed = normed * self.weight[:, None, None] + self.bias[:, None, None]
        result: Tensor = normed.to(input.dtype)
        return result

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(variance.to(self.running_var), share)

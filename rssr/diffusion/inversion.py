"""From a signal share back to the timestep that has it (SlimDiffSR, Eq. 9 to 11).

The paper writes tables of 1001 entries; diffusers' schedulers have 1000 (timesteps 0 to 999), and that table is
what the pretrained UNet knows, so it is the one inverted here.
"""

import torch
from torch import Tensor

from rssr.diffusion.schedule import NoiseSchedule


def bound_signal_share(logits: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Map unbounded predictions into the schedule's range by a sigmoid.

    Args:
        logits: Any shape, any real value.
        schedule: Gives the range.

    Returns:
        Signal shares (alpha-bar targets) within the table's smallest and largest entry; float32 at least.
    """
    low, high = schedule.bounds
    return low + (high - low) * torch.sigmoid(_precise(logits))


def invert_schedule(signal_share: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Continuous timestep t* of a signal share, by binary search and linear interpolation (Eq. 11).

    Differentiable in `signal_share`: the slope of the table's segment. Shares outside the table clamp to its
    ends, where the gradient is zero.

    Args:
        signal_share: Any shape; half precision is raised to float32, in which the table's entries still differ.
        schedule: Table to invert.

    Returns:
        Timesteps in [0, num_train_timesteps - 1], shaped like `signal_share`.
    """
    signal_share = _precise(signal_share)
    # The search needs an ascending table; entry i of it is timestep last - i.
    ascending = schedule.alphas_cumprod.to(signal_share).flip(0).contiguous()
    last = schedule.num_train_timesteps - 1
    share = signal_share.clamp(ascending[0], ascending[-1])
    upper = torch.searchsorted(ascending, share.detach().contiguous()).clamp(1, last)
    low, high = ascending[upper - 1], ascending[upper]
    position = (upper - 1) + (share - low) / (high - low)
    return last - position


def uncertainty_signal_share(signal_variance: Tensor, variance: Tensor) -> Tensor:
    """The guideline of Eq. 9: signal variance over signal plus predicted variance."""
    return signal_variance / (signal_variance + variance)


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))

"""Consistency models: a function that leads from any point of a trajectory to its clean end.

Sources: Song et al. 2023 (boundary conditions); Luo et al. 2023 for latents; the published LCMSR (conformance notes,
section 6).
"""

from dataclasses import dataclass

from torch import Tensor

from rssr.diffusion.sampling import Draw, Predict, clean_latent, noisy_latent_at
from rssr.diffusion.schedule import DiffusionTables, one_an_image

_DATA_DEVIATION = 0.5
_TIME_UNIT = 0.1


def boundary_scalings(
    timestep: Tensor, num_timesteps: int, data_deviation: float = _DATA_DEVIATION, time_unit: float = _TIME_UNIT
) -> tuple[Tensor, Tensor]:
    """Shares of the noisy latent (c_skip) and of the estimate (c_out): 1 and 0 at timestep 0.

    Args:
        timestep: Any shape.
        num_timesteps: Of the schedule; timesteps count as shares of it.
        data_deviation: Deviation of clean latents, as published.
        time_unit: Share of the schedule that counts as a unit, as published.

    Returns:
        Two float32 tensors like `timestep`.
    """
    time = timestep.float() / num_timesteps / time_unit
    variance = data_deviation**2
    return variance / (time**2 + variance), time / (time**2 + variance).sqrt()


def consistency_function(
    output: Tensor, noisy_latent: Tensor, timestep: Tensor | int, tables: DiffusionTables, prediction: str
) -> Tensor:
    """f(x, t): the clean end of the trajectory that passes through x at t.

    Args:
        output: The network's output [B, C, h, w].
        noisy_latent: x, like `output`.
        timestep: t, one for all or [B].
        tables: Of the schedule.
        prediction: What the output means: `noise` or `sample`.
    """
    estimate = clean_latent(output, noisy_latent, timestep, tables, prediction)
    times = one_an_image(timestep, output)
    skip, out = (
        share.to(output.dtype).view(-1, *[1] * (output.ndim - 1))
        for share in boundary_scalings(times, tables.num_timesteps)
    )
    return skip * noisy_latent + out * estimate


def consistency_times(num_timesteps: int, num_steps: int) -> list[int]:
    """Ascending timesteps of a walk of `num_steps` steps: 0, evenly spaced ones, and the last.

    Args:
        num_timesteps: Of the schedule.
        num_steps: 1 to `num_timesteps - 1`.
    """
    if not 1 <= num_steps < num_timesteps:
        raise ValueError(f"{num_steps} steps cannot be taken from {num_timesteps} timesteps")
    stride = num_timesteps // num_steps
    return [*(index * stride for index in range(num_steps)), num_timesteps - 1]


@dataclass(frozen=True)
class ConsistencyWalk:
    """How a walk goes.

    Attributes:
        prediction: What the network's output means: `noise` or `sample`.
        num_steps: Jumps to the clean end.
        final_renoise: Whether the last end gets the noise of timestep 0, as the published code does.
    """

    prediction: str = "noise"
    num_steps: int = 1
    final_renoise: bool = False


def sample_consistency(
    predict: Predict,
    start: Tensor,
    draw: Draw,
    tables: DiffusionTables,
    walk: ConsistencyWalk,
) -> Tensor:
    """Walk down: jump to the clean end, add the noise of a lower timestep, and so on.

    Args:
        predict: The network.
        start: Latent at the last timestep.
        draw: Noise after jump 1, 2, ...; after the last it is asked for with `final_renoise` alone.
        tables: Of the schedule.
        walk: How many jumps, and how the walk ends.
    """
    times = consistency_times(tables.num_timesteps, walk.num_steps)
    latent = start
    for number, index in enumerate(range(walk.num_steps, 0, -1), start=1):
        end = consistency_function(predict(latent, times[index]), latent, times[index], tables, walk.prediction)
        if index == 1 and not walk.final_renoise:
            return end
        latent = noisy_latent_at(end, draw(number), times[index - 1], tables)
    return latent

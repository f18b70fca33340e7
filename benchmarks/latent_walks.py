"""LDCSR, LCMSR and DDIM over the same networks, as one call from an LR image to an SR image, to be timed.

All noise is drawn beforehand: what a draw costs is no part of a network. On CUDA a fast run is recorded as one CUDA
graph, so that neither Python nor launches cost it anything, however many steps it has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.measuring import tensor_cores
from rssr.diffusion.consistency import ConsistencyWalk, sample_consistency
from rssr.diffusion.noise import NoiseSource
from rssr.diffusion.sampling import Draw, Predict, clean_latent, sample_ancestral, sample_ddim
from rssr.diffusion.schedule import DiffusionTables, scaled_linear_tables
from rssr.models.latent.network import LatentSR
from rssr.models.registry import create_model

CONTINUOUS, FIXED = "lcmsr", "lcmsr-x4"
SCALE = 4
_SEED = 0
_WARM_UPS = 3  # the compiler's first run, kernels that are tried out, and one as it will be recorded
_LAST_TIMESTEP = 999

Sample = Callable[[Predict, Draw, DiffusionTables, str], Tensor]


@dataclass(frozen=True)
class Walk:
    """One way from noise to an image.

    Attributes:
        name: For tables.
        model: Whose network runs; LDCSR's is the continuous LCMSR's with another schedule.
        schedule: Model whose noise schedule it is.
        num_steps: Calls of the denoiser.
        sample: Draws a latent.
    """

    name: str
    model: str
    schedule: str
    num_steps: int
    sample: Sample


def _ancestral(predict: Predict, draw: Draw, tables: DiffusionTables, prediction: str) -> Tensor:
    return sample_ancestral(predict, draw(0), draw, tables, prediction)


def _consistency(predict: Predict, draw: Draw, tables: DiffusionTables, prediction: str) -> Tensor:
    return sample_consistency(predict, draw(0), draw, tables, ConsistencyWalk(prediction))


def _ddim(num_steps: int) -> Sample:
    def sample(predict: Predict, draw: Draw, tables: DiffusionTables, prediction: str) -> Tensor:
        return sample_ddim(predict, draw(0), tables, num_steps, prediction)

    return sample


LDCSR = Walk("LDCSR, 4 steps", CONTINUOUS, "ldcsr", 4, _ancestral)
LCMSR = Walk("LCMSR, 1 step", CONTINUOUS, "lcmsr", 1, _consistency)
LCMSR_X4 = Walk("LCMSR x4, 1 step", FIXED, "lcmsr", 1, _consistency)
DDIM_50 = Walk("DDIM, 50 steps", CONTINUOUS, "lcmsr", 50, _ddim(50))
DDIM_1000 = Walk("DDIM, 1000 steps", CONTINUOUS, "lcmsr", 1000, _ddim(1000))
WALKS = (LDCSR, LCMSR, LCMSR_X4, DDIM_50, DDIM_1000)


def create_networks() -> dict[str, LatentSR]:
    """The two published networks with random weights, by model; they share all but the decoder."""
    found = {}
    for name in (CONTINUOUS, FIXED):
        network = create_model(name)
        assert isinstance(network, LatentSR)
        found[name] = network.requires_grad_(False).eval()
    share_parts(found)
    return found


def schedule_tables(model: str) -> DiffusionTables:
    """Tables of a model's published noise schedule."""
    with torch.device("meta"):
        network = create_model(model)
    assert isinstance(network, LatentSR)
    values = network.values
    return scaled_linear_tables(values.beta_start, values.beta_end, values.num_timesteps)


class Pipeline:
    """LR image to SR image with one network in one mode, at one size, and the parts of that.

    Args:
        network: In its mode, where it runs.
        lr: LR images [B, 3, h, w] in [-1, 1], on the same device.
        tables: Of each schedule, by model.
    """

    def __init__(self, network: LatentSR, lr: Tensor, tables: Mapping[str, DiffusionTables]) -> None:
        self.network, self.lr, self._tables = network, lr, tables
        self.output_size = (lr.shape[2] * SCALE, lr.shape[3] * SCALE)
        height, width = (side // network.values.latent_stride for side in self.output_size)
        shape = network.values.latent_channels, height, width
        source = NoiseSource(_SEED)
        draws = [source.draw(number, shape) for number in range(LDCSR.num_steps)]
        self._noise = [draw.expand(len(lr), *shape).contiguous().to(lr.device) for draw in draws]
        self._condition = torch.zeros_like(self._noise[0])

    def run(self, walk: Walk) -> Tensor:
        """The SR image of a walk, float32, about [-1, 1]."""
        condition = self.network.encode_condition(self.lr, self.output_size)

        def predict(noisy_latent: Tensor, timestep: int) -> Tensor:
            return self._predict(noisy_latent, condition, timestep)

        tables, prediction = self._tables[walk.schedule], self.network.values.prediction
        latent = walk.sample(predict, self.draw, tables, prediction)
        return self.network.decode(latent, self.lr, self.output_size).float()

    def draw(self, number: int) -> Tensor:
        """Noise of the start (0) and of each step."""
        return self._noise[number]

    def encode(self) -> Tensor:
        """The condition code alone."""
        return self.network.encode_condition(self.lr, self.output_size)

    def step(self) -> Tensor:
        """One call of the denoiser, and the clean latent that it implies."""
        noise = self._noise[0]
        output = self._predict(noise, self._condition, _LAST_TIMESTEP)
        return clean_latent(output, noise, _LAST_TIMESTEP, self._tables["lcmsr"], self.network.values.prediction)

    def decode(self) -> Tensor:
        """The SR image of noise."""
        return self.network.decode(self._noise[0], self.lr, self.output_size)

    def _predict(self, noisy_latent: Tensor, condition: Tensor, timestep: int) -> Tensor:
        return self.network.predict(noisy_latent, condition, timestep, float(SCALE), self.output_size[0])


def compile_parts(network: LatentSR) -> None:
    """Compile what a pipeline calls, in place; for one size of image."""
    for part in (network.condition_encoder, network.denoiser, network.decoder):
        part.compile(fullgraph=True, dynamic=False)


def share_parts(networks: Mapping[str, LatentSR]) -> None:
    """Let the networks hold the same encoder and denoiser, so that these are compiled once."""
    first, *others = networks.values()
    for other in others:
        other.condition_encoder, other.denoiser = first.condition_encoder, first.denoiser


class RecordedRun:
    """A function of no arguments as a CUDA graph, recorded when it is first called.

    The result lies where the next call will write.

    Args:
        run: Makes a tensor on CUDA, with the same kernels at every call.
        allow_tf32: Whether its float32 products may be rounded to TF32.
    """

    def __init__(self, run: Callable[[], Tensor], allow_tf32: bool) -> None:
        self._run = run
        self._allow_tf32 = allow_tf32
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: Tensor | None = None

    def __call__(self) -> Tensor:
        """The function's result."""
        if self._graph is None:
            self._record()
        assert self._graph is not None and self._result is not None
        self._graph.replay()
        return self._result

    @torch.inference_mode()
    def _record(self) -> None:
        with tensor_cores(self._allow_tf32):
            for _ in range(_WARM_UPS):
                self._run()
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._result = self._run()
        self._graph = graph

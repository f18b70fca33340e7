"""Running a latent super-resolution network at any size, whole or as a tile of a scene.

The latent covers the SR image padded to multiples of its stride; beyond the LR image's edge the edge goes on. A tile
begins at a multiple of the stride, samples the LR image where the whole scene would, and sees the scene's noise
there.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from rssr.diffusion.noise import NoiseOrigin, NoiseSource
from rssr.diffusion.sampling import Draw, Predict
from rssr.errors import ModelError
from rssr.layers.resampling import pad_before
from rssr.models.latent.frame import Frame
from rssr.models.latent.network import LatentSR
from rssr.models.resolver import Draws, TilePlace
from rssr.seeds import derive_seed

Path = Literal["sampled", "condition"]

_EXACT = 1e-9  # LR pixels; offsets below are rounding
USUAL_SAMPLES = 8
"""Samples from which a deviation is told, and with which it was fitted."""


class LatentResolver(ABC):
    """A `SamplingResolver` and `DeviationResolver`; a method says how a latent is sampled.

    Args:
        network: Runs on the device and in the type of its weights.
        path: `sampled`: the denoiser's latent; `condition`: the condition code itself, without noise.
        draws: Seed and number of samples whose mean is returned.

    Raises:
        ModelError: There is no such path.
    """

    def __init__(self, network: LatentSR, path: Path = "sampled", draws: Draws | None = None) -> None:
        if path not in ("sampled", "condition"):
            raise ModelError(f"There is no path '{path}'.", "Use sampled or condition.")
        self.network = network
        self.path = path
        self.draws = draws or Draws()
        self.places: Sequence[TilePlace] | None = None

    @abstractmethod
    def sample(self, predict: Predict, draw: Draw) -> Tensor:
        """Walk from noise to a clean latent.

        Args:
            predict: The denoiser, told everything but noisy latent and timestep.
            draw: Noise of the start (0) and of each step.
        """

    @property
    def sr_grid(self) -> int:
        """SR rows and columns at which tiles begin must be multiples of this: the latent's stride."""
        return self.network.values.latent_stride

    @property
    def gives_deviation(self) -> bool:
        """Whether samples differ."""
        return self.path == "sampled"

    def placed(self, places: Sequence[TilePlace] | None, draws: Draws) -> Self:
        """See `SamplingResolver`.

        Raises:
            ModelError: A tile begins off the grid.
        """
        for place in places or ():
            if any(origin % self.sr_grid for origin in place.sr_origin):
                raise ModelError(
                    f"A tile begins at SR pixel {place.sr_origin}, but latents need multiples of {self.sr_grid}.",
                    "Plan the tiles with rssr.inference.planning.plan_scene.",
                )
        other = copy.copy(self)
        other.places, other.draws = places, draws
        return other

    @torch.no_grad()
    def __call__(self, lr: Tensor, output_size: tuple[int, int]) -> Tensor:
        """Super-resolve LR images [B, C, h, w] in [-1, 1] to float32 [B, C, H, W], about [-1, 1]; the mean of samples.

        Raises:
            ModelError: The output is smaller than the LR image, of other proportions, or of a scale that the network
                does not know; or the image has another number of bands.
        """
        return self._mean_and_deviation(lr, output_size, self.draws.num_samples)[0]

    @torch.no_grad()
    def with_deviation(self, lr: Tensor, output_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The mean of samples and how far it may be off, from how much they differ; see `DeviationResolver`.

        The deviation is sqrt((factor * spread)^2 + floor^2). After the phase `deviation` it is the half-width that
        holds 68 % of errors; without it, factor 1 and floor 0 leave how much samples differ, which is less.

        Raises:
            ModelError: As by a call; or samples do not differ.
        """
        if not self.gives_deviation:
            raise ModelError("The condition path draws nothing, so samples do not differ.", "Use the path 'sampled'.")
        num_samples = self.draws.num_samples if self.draws.num_samples > 1 else USUAL_SAMPLES
        mean, spread = self._mean_and_deviation(lr, output_size, num_samples)
        values = self.network.values
        return mean, torch.sqrt((values.deviation_factor * spread) ** 2 + values.deviation_floor**2)

    def latents(self, lr: Tensor, output_size: tuple[int, int]) -> Iterator[Tensor]:
        """The scaled latent [B, C, h', w'] of each sample; all images must lie alike among their LR pixels."""
        frame, height = self._frame(lr, output_size, 0)
        condition = self.network.encode_condition(lr, self._padded(output_size), frame)
        if self.path == "condition":
            yield condition
            return
        origins = self._noise_origins(len(lr))
        predict = _Told(self.network, condition, (frame.scale, height), self._phase(origins[0]))
        for index in range(self.draws.num_samples):
            source = NoiseSource(derive_seed(self.draws.seed, "sample", index), lr.device)
            yield self.sample(predict, _SceneNoise(source, condition, origins))

    def _mean_and_deviation(self, lr: Tensor, output_size: tuple[int, int], num_samples: int) -> tuple[Tensor, Tensor]:
        """Mean and deviation (over N - 1) of the samples, added up one by one (Welford)."""
        self._check(lr, output_size)
        lr = lr.to(next(self.network.parameters()).dtype)
        parts = [
            self._alike(part, num_samples)._welford(images, output_size)
            for part, images in self._groups(lr, output_size)
        ]
        mean, spread = (torch.cat([part[index] for part in parts]) for index in (0, 1))
        return mean, spread

    def _welford(self, lr: Tensor, output_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        frame, _ = self._frame(lr, output_size, 0)
        mean = squares = torch.zeros((), device=lr.device)
        count = 0
        for count, latent in enumerate(self.latents(lr, output_size), start=1):
            sr = self.network.decode(latent, lr, output_size, frame).float()
            difference = sr - mean
            mean = mean + difference / count
            squares = squares + difference * (sr - mean)
        return mean, torch.sqrt(squares / max(1, count - 1))

    def _alike(self, places: Sequence[TilePlace] | None, num_samples: int) -> Self:
        return self.placed(places, Draws(self.draws.seed, num_samples))

    def _groups(self, lr: Tensor, output_size: tuple[int, int]) -> list[tuple[Sequence[TilePlace] | None, Tensor]]:
        """Images in order: together where they lie alike among LR pixels and latent positions, else one by one."""
        if self.places is None:
            return [(None, lr)]
        origins = self._noise_origins(len(lr))
        kinds = {(self._frame(lr, output_size, index), self._phase(origins[index])) for index in range(len(lr))}
        if len(kinds) == 1:
            return [(self.places, lr)]
        return [([place], lr[index : index + 1]) for index, place in enumerate(self.places)]

    def _frame(self, lr: Tensor, output_size: tuple[int, int], index: int) -> tuple[Frame, int]:
        """Where an image's output lies, and the height that the denoiser is told."""
        if self.places is None:
            step = lr.shape[2] / output_size[0], lr.shape[3] / output_size[1]
            return Frame(step), output_size[0]
        place = self.places[index]
        step = place.lr_size[0] / place.sr_size[0], place.lr_size[1] / place.sr_size[1]
        rows, columns = (place.sr_origin[axis] * step[axis] - place.lr_origin[axis] for axis in (0, 1))
        offset = 0.0 if abs(rows) < _EXACT else rows, 0.0 if abs(columns) < _EXACT else columns
        return Frame(step, offset), place.usual_rows or output_size[0]

    def _padded(self, output_size: tuple[int, int]) -> tuple[int, int]:
        height, width = (-(-side // self.sr_grid) * self.sr_grid for side in output_size)
        return height, width

    def _noise_origins(self, count: int) -> list[NoiseOrigin]:
        if self.places is None:
            return [NoiseOrigin()] * count
        return [NoiseOrigin(*(origin // self.sr_grid for origin in place.sr_origin)) for place in self.places]

    def _phase(self, origin: NoiseOrigin) -> tuple[int, int]:
        """How far a tile's latent begins after a multiple of the denoiser's stride."""
        stride = self.network.values.denoiser_stride
        return origin.row % stride, origin.column % stride

    def _check(self, lr: Tensor, output_size: tuple[int, int]) -> None:
        if self.places is not None and len(self.places) != len(lr):
            raise ModelError(f"{len(self.places)} places were given for {len(lr)} images.")
        (height, width), (rows, columns) = output_size, (lr.shape[2], lr.shape[3])
        wanted = f"An output of {height} x {width} pixels"
        if height < rows or width < columns:
            raise ModelError(f"{wanted} is smaller than the image of {rows} x {columns}.", "Give a scale of 1 or more.")
        # A scale that gives both sides, each rounded up or down to whole pixels, must exist.
        lowest = max((height - 1) / rows, (width - 1) / columns)
        highest = min((height + 1) / rows, (width + 1) / columns)
        if lowest > highest:
            raise ModelError(
                f"{wanted} contradicts an image of {rows} x {columns}: its sides grow by {height / rows:.3g} and "
                f"{width / columns:.3g}.",
                "Give both sides the same scale.",
            )


class _Told:
    """The denoiser, told condition, scale and height.

    Its levels halve the latent, pairing rows from its first on. A tile's latent is extended to begin where the
    scene's rows are paired alike; otherwise its result would differ everywhere.
    """

    def __init__(
        self, network: LatentSR, condition: Tensor, numbers: tuple[float, int], phase: tuple[int, int]
    ) -> None:
        self._network = network
        self._condition = pad_before(condition, *phase)
        self._scale, self._height = numbers
        self._phase = phase

    def __call__(self, noisy_latent: Tensor, timestep: int) -> Tensor:
        extended = pad_before(noisy_latent, *self._phase)
        output = self._network.predict(extended, self._condition, timestep, self._scale, self._height)
        return output[:, :, self._phase[0] :, self._phase[1] :]


class _SceneNoise:
    """Noise for a batch of images, each at its own place in the scene."""

    def __init__(self, source: NoiseSource, like: Tensor, origins: Sequence[NoiseOrigin]) -> None:
        self._source = source
        self._like = like
        self._origins = origins

    def __call__(self, number: int) -> Tensor:
        channels, height, width = self._like.shape[1:]
        drawn = [self._source.draw(number, (channels, height, width), origin) for origin in self._origins]
        return torch.stack(drawn).to(self._like.dtype)

"""Figures of the teacher: what it is unsure of, where on the schedule it starts, and the features it teaches.

They show of this run what Figures 14 and 15 of the paper show of its authors' networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rssr.diffusion.schedule import denoise_in_one_step, signal_share_at
from rssr.images import from_network
from rssr.losses.uncertainty import PRIOR_FACTOR
from rssr.methods.figures import Figure, FigureRow, HeldOutImage, Picture
from rssr.methods.phase import Batch
from rssr.methods.slimdiffsr.latents import decode_latent, encode_image
from rssr.methods.slimdiffsr.teacher import Teacher
from rssr.methods.slimdiffsr.teacher_unet import predict_noise
from rssr.methods.validation import psnr
from rssr.resampling import upsample_bicubic
from rssr.value_map import ValueMap

Values = NDArray[np.float32]

_LATENT_UNIT = "latent units"
_LEVELS = {"down0": "down 0", "down1": "down 1", "mid": "middle", "up0": "up 0", "up1": "up 1"}


@dataclass(frozen=True, eq=False)
class LatentMaps:
    """What the teacher knows of one pair before it denoises; all [1, C, h, w].

    Attributes:
        lr_latent: Latent of the enlarged LR image.
        expected_error: Root mean square error that the estimator expects of its mean, C = 1, latent units.
        actual_error: Root mean square error that its mean has, C = 1, latent units.
        timestep: t*, C = 1, 0 to 999.
    """

    lr_latent: Tensor
    expected_error: Tensor
    actual_error: Tensor
    timestep: Tensor


@torch.no_grad()
def map_latents(teacher: Teacher, pair: Batch) -> LatentMaps:
    """Look at one pair as training does: the noise level is predicted from the HR latent."""
    lr_latent = encode_image(teacher.autoencoder, _enlarged(pair))
    hr_latent = encode_image(teacher.autoencoder, pair.hr)
    mean, log_variance = teacher.estimate(lr_latent)
    _, timestep = teacher.noise_level(hr_latent, log_variance)
    # Eq. 5 ends at a third of the squared error.
    expected = (PRIOR_FACTOR * log_variance.exp()).mean(dim=1, keepdim=True).sqrt()
    actual = (hr_latent - mean).square().mean(dim=1, keepdim=True).sqrt()
    return LatentMaps(lr_latent, expected, actual, timestep)


def draw_uncertainty(teacher: Teacher, images: Sequence[HeldOutImage]) -> Figure:
    """Uncertainty beside t*, as in Fig. 15."""
    maps = [map_latents(teacher, image.pair) for image in images]
    expected = _limits([found.expected_error for found in maps])
    actual = _limits([found.actual_error for found in maps])
    timesteps = _limits([found.timestep for found in maps])
    rows = []
    for image, found in zip(images, maps, strict=True):
        pictures: dict[str, Picture] = {
            "HR": picture_of(image.pair.hr),
            "bicubic LR": picture_of(_enlarged(image.pair)),
            "expected error": ValueMap(values_of(found.expected_error), _LATENT_UNIT, expected),
            "actual error": ValueMap(values_of(found.actual_error), _LATENT_UNIT, actual),
        }
        if teacher.config.timestep != "fixed":
            pictures["timestep t*"] = ValueMap(values_of(found.timestep), "of 0 to 999", timesteps)
        rows.append(FigureRow(f"{image.key}: {_agreement(teacher, found)}", pictures))
    return Figure("Teacher uncertainty and timesteps", _describe_uncertainty(teacher), rows)


def draw_features(teacher: Teacher, image: HeldOutImage) -> Figure:
    """The levels that the student is taught, at different timesteps of one and the same teacher, as in Fig. 14."""
    found = map_latents(teacher, image.pair)
    passes = [
        _Pass.run(teacher, image.pair, found.lr_latent, name, timestep) for name, timestep in _timesteps(teacher, found)
    ]
    limits = {level: _limits([run.magnitudes[level] for run in passes]) for level in _LEVELS}
    rows: list[FigureRow] = []
    for run in passes:
        pictures: dict[str, Picture] = {
            title: ValueMap(values_of(run.magnitudes[level]), "", limits[level]) for level, title in _LEVELS.items()
        }
        change = f"; features differ from the first row's by {run.difference(passes[0]):.1%}" if rows else ""
        rows.append(FigureRow(f"{run.label}{change}", pictures))
    text = (
        f"What the teacher's UNet computes of {image.key} at the levels that the student is taught: the mean magnitude "
        "of all channels. Each level has one colour scale for all rows, from the 1st to the 99th percentile.\n\n"
        f"The rows are one and the same trained teacher (timestep={teacher.config.timestep}), run at other timesteps; "
        "Fig. 14 of the paper compares teachers that were trained for theirs. What differs between the rows is what "
        "the timestep alone changes."
    )
    return Figure("Teacher features", text, rows)


@dataclass(frozen=True, eq=False)
class _Pass:
    """One run of the teacher at a given timestep.

    Attributes:
        label: The timestep, and what came of it.
        features: Of each level, [1, C, h, w].
    """

    label: str
    features: dict[str, Tensor]

    @property
    def magnitudes(self) -> dict[str, Tensor]:
        """Mean magnitude of the channels of each level, [1, 1, h, w]."""
        return {level: found.abs().mean(dim=1, keepdim=True) for level, found in self.features.items()}

    def difference(self, other: "_Pass") -> float:
        """Root mean square difference of the features in relation to the other's, mean over the levels."""
        ratios = [
            (found - other.features[level]).norm() / other.features[level].norm()
            for level, found in self.features.items()
        ]
        return float(torch.stack(ratios).mean())

    @classmethod
    @torch.no_grad()
    def run(cls, teacher: Teacher, pair: Batch, lr_latent: Tensor, name: str, timestep: Tensor) -> "_Pass":
        noise_pred, features = predict_noise(teacher.unet, lr_latent, timestep, teacher.get_buffer("prompt_embedding"))
        latent = denoise_in_one_step(lr_latent, noise_pred, signal_share_at(timestep, teacher.schedule))
        quality = psnr(decode_latent(teacher.autoencoder, latent), pair.hr)
        return cls(f"{name}: SR image {quality:.2f} dB", {level: features[level] for level in _LEVELS})


def _timesteps(teacher: Teacher, found: LatentMaps) -> list[tuple[str, Tensor]]:
    """Timestep maps to compare, by name; a predictor that was never trained has nothing to say."""
    fixed = torch.full_like(found.timestep, teacher.config.fixed_timestep)
    variants = [(f"fixed timestep {teacher.config.fixed_timestep:.0f}", fixed)]
    if teacher.config.timestep != "fixed":
        mean = found.timestep.mean()
        variants.insert(
            0, (f"scalar timestep {mean:.0f}, the map's mean", torch.full_like(found.timestep, float(mean)))
        )
    if teacher.config.timestep == "map":
        low, high = float(found.timestep.min()), float(found.timestep.max())
        variants.insert(0, (f"timestep map, {low:.0f} to {high:.0f}", found.timestep))
    return variants


def _agreement(teacher: Teacher, found: LatentMaps) -> str:
    error = rank_correlation(values_of(found.expected_error), values_of(found.actual_error))
    text = f"rank correlation of expected and actual error {_or_none(error)}"
    if teacher.config.timestep != "map":
        return text
    timestep = rank_correlation(values_of(found.expected_error), values_of(found.timestep))
    return f"{text}, of expected error and timestep {_or_none(timestep)}"


def _describe_uncertainty(teacher: Teacher) -> str:
    text = (
        "Expected error: how far the estimator, which sees LR alone, expects its guess of the HR latent to be off; the "
        "root of three times its variance, since Eq. 5 ends at a third of the squared error. Actual error: how far it "
        "is off. Both are root mean squares over the latent's channels, in units of the scaled latent, whose deviation "
        "is about 1. Each column has one colour scale, from the 1st to the 99th percentile of its values."
    )
    if teacher.config.timestep == "fixed":
        return text + f"\n\nThis teacher starts at the fixed timestep {teacher.config.fixed_timestep:g} everywhere."
    seen = "the HR latent and the estimator's variance" if teacher.config.use_uncertainty else "the HR latent alone"
    return text + (
        "\n\nTimestep: where the teacher starts, from 0 (the LR latent is taken as it is) to 999 (it is taken for "
        f"noise), predicted from {seen}, as in training. As the paper says of its Fig. 15, it need not follow the "
        "uncertainty."
    )


def rank_correlation(first: Values, second: Values) -> float:
    """Spearman's rank correlation of two maps, -1 to 1; not a number where one of them is constant."""
    from scipy.stats import rankdata  # slow to import, and used for figures alone

    ranks = np.stack([rankdata(values.ravel()) for values in (first, second)])
    if not (np.ptp(ranks, axis=1) > 0).all():
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])


def values_of(tensor: Tensor) -> Values:
    """[1, 1, h, w] as float32 [h, w]."""
    values: Values = tensor[0, 0].detach().float().cpu().numpy()
    return values


def picture_of(image: Tensor) -> NDArray[np.uint8]:
    """[1, 3, H, W] in [-1, 1] as uint8 [H, W, 3]."""
    pixels: NDArray[np.uint8] = from_network(image)[0]
    return pixels


def _enlarged(pair: Batch) -> Tensor:
    return upsample_bicubic(pair.lr, (pair.hr.shape[-2], pair.hr.shape[-1]))


def _limits(maps: Sequence[Tensor]) -> tuple[float, float]:
    """Ends of a colour scale for several maps; a few extremes do not leave the rest in one colour."""
    values = torch.cat([found.flatten() for found in maps]).float()
    low, high = values.quantile(values.new_tensor([0.01, 0.99])).tolist()
    return low, high


def _or_none(correlation: float) -> str:
    return "undefined" if np.isnan(correlation) else f"{correlation:.2f}"

"""Unit normal noise as a pure function of where it falls: of seed, latent row, column, channel and draw.

A tile and the whole scene therefore see the same noise, whatever the order in which tiles are run. Random words
come from Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), computed in int64
without overflow. They become normal by Box and Muller's transform, whose logarithm and cosine are built here from
sums, products, quotients and square roots in float64: these are rounded alike on every device, in every position of
a vector register, so the noise is equal to the last bit on CPU and GPU.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_HALF = 0xFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_NUM_ROUNDS = 10
_LOG_TERMS = 11  # the series' rest is below 1e-17 for fractions within a root of two from 1
_COSINE_TERMS = 10  # likewise for an eighth of a turn


class NoiseOrigin(NamedTuple):
    """Latent position of a tile's first value within its scene."""

    row: int = 0
    column: int = 0


@dataclass(frozen=True)
class NoiseSource:
    """The noise of one sample of a scene.

    Attributes:
        seed: Within 0 to 2**64 - 1.
        device: Where the noise shall be.
    """

    seed: int
    device: torch.device | str = "cpu"

    def draw(self, number: int, shape: tuple[int, int, int], origin: NoiseOrigin = NoiseOrigin()) -> Tensor:  # noqa: B008  # immutable
        """Unit normal noise.

        Args:
            number: Which draw of the sample: 0 for the start, then one a step.
            shape: (C, h, w).
            origin: Position of the first value in the scene's latent, not negative.

        Returns:
            float32 [C, h, w].
        """
        channels, height, width = shape
        rows = self._numbers(height, origin.row)[None, :, None].expand(shape)
        columns = self._numbers(width, origin.column)[None, None, :].expand(shape)
        layers = self._numbers(channels, 0)[:, None, None].expand(shape)
        counter = (rows, columns, layers, torch.full_like(layers, number))
        return _box_muller(philox(counter, (self.seed & _WORD, self.seed >> 32 & _WORD)))

    def _numbers(self, length: int, first: int) -> Tensor:
        return torch.arange(first, first + length, dtype=torch.int64, device=self.device)


def philox(counter: tuple[Tensor, ...], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Philox4x32-10: four random words for each counter.

    Args:
        counter: Four int64 tensors of one shape, values below 2**32.
        key: Two numbers below 2**32.

    Returns:
        Four int64 tensors, values below 2**32.
    """
    first, second, third, fourth = counter
    low_key, high_key = key
    for _ in range(_NUM_ROUNDS):
        high0, low0 = _product(first, _MULTIPLIERS[0])
        high1, low1 = _product(third, _MULTIPLIERS[1])
        first, second, third, fourth = high1 ^ second ^ low_key, low1, high0 ^ fourth ^ high_key, low0
        low_key, high_key = (low_key + _KEY_STEPS[0]) & _WORD, (high_key + _KEY_STEPS[1]) & _WORD
    return first, second, third, fourth


def _product(words: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """High and low word of a product, by halves of 16 bits, so that no intermediate value leaves 63 bits."""
    low = words * (factor & _HALF)
    high = words * (factor >> 16) + (low >> 16)
    return high >> 16, (high & _HALF) << 16 | low & _HALF


def _box_muller(words: tuple[Tensor, ...]) -> Tensor:
    """One normal value from four words: 53 bits for the radius, 53 for the angle."""
    first, second = (_unit(high, low) for high, low in (words[:2], words[2:]))
    radius = (-2 * _logarithm(first)).sqrt()
    return (radius * _cosine_of_turns(second)).float()


def _unit(high: Tensor, low: Tensor) -> Tensor:
    """Uniform in the open interval from 0 to 1, float64, from the upper 53 of 64 bits (52 and a half step)."""
    return ((high << 20 | low >> 12).double() + 0.5) * 2.0**-52


def _logarithm(values: Tensor) -> Tensor:
    """Natural logarithm by ln m = 2 artanh((m - 1) / (m + 1)) of the fraction and the exponent apart."""
    fraction, exponent = torch.frexp(values)
    is_small = fraction < math.sqrt(0.5)
    fraction = torch.where(is_small, fraction * 2, fraction)
    exponent = exponent.double() - is_small.double()
    ratio = (fraction - 1) / (fraction + 1)
    square = ratio * ratio
    series = torch.zeros_like(square)
    for term in reversed(range(_LOG_TERMS)):
        series = series * square + 1 / (2 * term + 1)
    return exponent * math.log(2) + ratio * series * 2


def _cosine_of_turns(turns: Tensor) -> Tensor:
    """cos(2 pi x) by Taylor series within an eighth of a turn."""
    eighths = (turns * 8).floor()
    quarter = ((eighths + 1) / 2).floor()  # the nearest quarter turn; exact, as all the numbers here are short
    angle = (turns - quarter / 4) * (2 * math.pi)
    square = angle * angle
    cosine, sine = torch.zeros_like(square), torch.zeros_like(square)
    for term in reversed(range(_COSINE_TERMS)):
        sign = (-1) ** term
        cosine = cosine * square + sign / math.factorial(2 * term)
        sine = sine * square + sign / math.factorial(2 * term + 1)
    sine = sine * angle
    rotations = quarter.long() % 4
    swapped = torch.where(rotations % 2 == 0, cosine, sine)
    return torch.where((rotations == 1) | (rotations == 2), -swapped, swapped)

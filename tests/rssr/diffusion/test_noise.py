import hashlib
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rssr.diffusion.noise import NoiseOrigin, NoiseSource, philox

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
RECORDED = "abf02fd57641977b0380066f79fa35adcf99def9f1da1ac36d27b3bbb22c7337"
"""SHA-256 of a patch of noise, as computed on a CPU."""

# Published known answers of Philox4x32-10: counter, key, words.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_random_words_are_the_published_ones(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    found = philox(tuple(torch.tensor([value]) for value in counter), key)
    assert tuple(int(word) for word in found) == words


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_noise_is_standard_normal(seed: int) -> None:
    noise = NoiseSource(seed).draw(0, (4, 200, 250)).double().flatten()
    count = len(noise)
    moments = [float((noise**power).mean()) for power in (1, 2, 3, 4)]
    deviations = [1, math.sqrt(2), math.sqrt(15), math.sqrt(96)]
    for moment, expected, deviation in zip(moments, (0, 1, 0, 3), deviations, strict=True):
        assert abs(moment - expected) < 4.5 * deviation / math.sqrt(count)
    assert stats.kstest(noise.numpy(), "norm").pvalue > 1e-3


def test_neighbours_channels_draws_and_seeds_do_not_correlate() -> None:
    noise = NoiseSource(5).draw(0, (4, 200, 200)).double()
    others = {
        "next column": (noise[..., 1:], noise[..., :-1]),
        "next row": (noise[:, 1:], noise[:, :-1]),
        "next channel": (noise[1:], noise[:-1]),
        "transposed": (noise, noise.transpose(1, 2)),
        "next draw": (noise, NoiseSource(5).draw(1, (4, 200, 200)).double()),
        "next seed": (noise, NoiseSource(6).draw(0, (4, 200, 200)).double()),
        "high bits of the seed": (noise, NoiseSource(5 + (1 << 32)).draw(0, (4, 200, 200)).double()),
    }
    for name, (one, other) in others.items():
        for power in (1, 2):
            pair = torch.stack([(one**power).flatten(), (other**power).flatten()])
            correlation = float(torch.corrcoef(pair)[0, 1])
            limit = 4.5 / math.sqrt(pair.shape[1] / (2 if name == "transposed" else 1))
            assert abs(correlation) < limit, f"{name}, power {power}: {correlation}"


@given(st.tuples(*[st.integers(0, 90)] * 2), st.tuples(*[st.integers(1, 40)] * 2), st.integers(0, 5))
def test_a_tiles_noise_is_the_scenes_there(origin: tuple[int, int], size: tuple[int, int], number: int) -> None:
    source = NoiseSource(11)
    (row, column), (height, width) = origin, size
    scene = source.draw(number, (3, row + height + 3, column + width + 2))
    tile = source.draw(number, (3, height, width), NoiseOrigin(row, column))
    assert torch.equal(tile, scene[:, row : row + height, column : column + width])


@pytest.mark.parametrize("device", DEVICES)
def test_noise_is_the_recorded_one_to_the_last_bit(device: str) -> None:
    noise = NoiseSource(2**64 - 3, device).draw(3, (4, 60, 50), NoiseOrigin(7, 5)).cpu().numpy().astype("<f4")
    assert hashlib.sha256(noise.tobytes()).hexdigest() == RECORDED


def test_logarithm_and_cosine_are_those_of_the_library() -> None:
    noise = NoiseSource(3).draw(2, (1, 64, 64))
    places = torch.arange(64)
    rows, columns = places[:, None].expand(64, 64), places[None].expand(64, 64)
    words = philox((rows, columns, torch.zeros(64, 64).long(), torch.full((64, 64), 2)), (3, 0))
    first, second = (
        (((high << 20) | (low >> 12)).double() + 0.5) / 2**52 for high, low in ((words[0], words[1]), words[2:])
    )
    usual = torch.sqrt(-2 * torch.log(first)) * torch.cos(2 * math.pi * second)
    assert (noise[0].double() - usual).abs().max() < 3e-7  # float32's rounding

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rssr.degradation import (
    DegradationConfig,
    apply_draws,
    configure_worker_threads,
    degradation_preset,
    degrade,
    describe_draws,
    draw_degradation,
    noise,
    preset_names,
)
from rssr.degradation.draws import NoiseDraw, Size
from rssr.degradation.noise import poisson_counts, standard_normal
from rssr.degradation.reference import (
    BatchDecisions,
    GaussianDecision,
    PoissonDecision,
    decisions_from_draws,
    degrade_reference,
)
from rssr.errors import DataError, ImageError
from tests.rssr.conftest import VectorFile

MakePhoto = Callable[..., npt.NDArray[np.uint8]]
_SECOND_ORDER = ("slimdiffsr", "real-esrgan")
_NO_JPEG = {"jpeg_quality_range": None}
_NO_NOISE = {"gaussian_sigma_range": (0, 0), "poisson_scale_range": (0, 0)}


def _changed(kind: str, **changes: object) -> DegradationConfig:
    """A preset with the same changes in both rounds."""
    return DegradationConfig.model_validate({"kind": kind, "first": changes, "second": changes})


def _to_batch(image: npt.NDArray[np.generic]) -> torch.Tensor:
    layered = image[..., None] if image.ndim == 2 else image
    return torch.from_numpy(np.ascontiguousarray(layered)).permute(2, 0, 1).unsqueeze(0)


def _same_noise(draw: NoiseDraw) -> GaussianDecision | PoissonDecision:
    """The fast path's own noise draws, handed to the reference."""
    strength, gray = torch.tensor([draw.strength]), torch.tensor([draw.gray])

    def counts(levels: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        shape = levels.shape[2:] if levels.shape[1] == 1 else (*levels.shape[2:], 3)
        planes = levels[0].permute(1, 2, 0).byte().contiguous().numpy().reshape(shape)
        return _to_batch(poisson_counts(planes, int(base.item()), draw.seed))

    def gray_field(size: Size) -> torch.Tensor:
        return torch.from_numpy(standard_normal(draw.seed, size))

    def colour_field(size: Size) -> torch.Tensor:
        return _to_batch(standard_normal(draw.seed, (*size, 3)))

    if draw.kind == "poisson":
        return PoissonDecision(strength, gray, counts, counts)
    return GaussianDecision(strength, gray, gray_field, colour_field)


# Strong Poisson noise turns a rounding at the edge of two levels into a visible step, in both implementations, so
# Real-ESRGAN's strengths are compared with Gaussian noise only.
@pytest.mark.parametrize(
    "config",
    [
        _changed("slimdiffsr", **_NO_JPEG),
        _changed("real-esrgan", **_NO_JPEG, gaussian_probability=1.0),
    ],
    ids=_SECOND_ORDER,
)
@pytest.mark.parametrize("scale", [2, 3, 3.4, 4, 8])
def test_fast_equals_reference_to_one_level_without_jpeg(
    make_photo: MakePhoto, config: DegradationConfig, scale: float
) -> None:
    differing = []
    for seed in range(16):
        hr = make_photo(90 + 7 * seed, 151 - 5 * seed, seed)
        draws = draw_degradation(config, scale, seed, hr.shape[:2])
        lr = apply_draws(hr, draws).astype(int)
        reference = degrade_reference(_to_batch(hr).float() / 255, decisions_from_draws(draws, _same_noise))
        expected = (reference[0] * 255).round().int().permute(1, 2, 0).numpy()
        assert np.abs(lr - expected).max() <= 1, describe_draws(draws)
        differing.append((lr != expected).mean())
    assert np.mean(differing) < 0.02  # roundings at half a level


def _same_fields(
    fields: dict[int, npt.NDArray[np.float64]],
) -> Callable[[NoiseDraw], GaussianDecision | PoissonDecision]:
    """What the fast path added, by the seed of the draw and in grey levels, handed to the reference as its draws."""

    def decide(draw: NoiseDraw) -> GaussianDecision | PoissonDecision:
        unit = (fields[draw.seed] / draw.strength).astype(np.float32)
        strength, gray = torch.tensor([draw.strength]), torch.tensor([draw.gray])

        def counts(levels: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
            return (_to_batch(unit)[:, : levels.shape[1]] + levels) / 255 * base.view(-1, 1, 1, 1)

        if draw.kind == "poisson":
            return PoissonDecision(strength, gray, counts, counts)
        return GaussianDecision(
            strength, gray, lambda size: torch.from_numpy(unit[..., 0].copy()), lambda size: _to_batch(unit)
        )

    return decide


@pytest.mark.parametrize("kind", _SECOND_ORDER)
@pytest.mark.parametrize("scale", [2, 3, 4, 8, 2.5, 3.4, 6.7])
def test_fast_equals_reference_to_one_level_with_the_same_noise_fields(
    make_photo: MakePhoto, monkeypatch: pytest.MonkeyPatch, kind: str, scale: float
) -> None:
    """All kinds of noise at all strengths: the fields are draws too, so no rounding inside them tells the two apart."""
    fields: dict[int, npt.NDArray[np.float64]] = {}
    weighted_field = noise._weighted_field

    def recording(image: npt.NDArray[np.float32], draw: NoiseDraw) -> tuple[npt.NDArray[np.generic], float]:
        field, factor = weighted_field(image, draw)
        fields[draw.seed] = field.astype(np.float64) * factor
        return field, factor

    monkeypatch.setattr(noise, "_weighted_field", recording)
    config = _changed(kind, **_NO_JPEG)
    kinds = set()
    for seed in range(100, 112):
        hr = make_photo(90 + 5 * (seed - 100), 148 - 4 * (seed - 100), seed)
        draws = draw_degradation(config, scale, seed, hr.shape[:2])
        lr = apply_draws(hr, draws).astype(int)
        reference = degrade_reference(_to_batch(hr).float() / 255, decisions_from_draws(draws, _same_fields(fields)))
        expected = (reference[0] * 255).round().int().permute(1, 2, 0).numpy()
        assert np.abs(lr - expected).max() <= 1, describe_draws(draws)
        assert draws.first is not None and draws.second is not None
        kinds |= {(one.noise.kind, one.noise.gray) for one in (draws.first, draws.second)}
    assert len(kinds) == 4, "Gaussian and Poisson, grey and colour"


def _with_wrong_jpeg(right: BatchDecisions) -> list[BatchDecisions]:
    """Decisions with one mistake about JPEG each: order, swapped qualities, one of the two left out."""
    first, second = right.first, right.second
    swapped = (second.jpeg_quality, first.jpeg_quality)
    return [
        replace(right, jpeg_first=not right.jpeg_first),
        replace(
            right,
            first=replace(first, jpeg_quality=swapped[0]),
            second=replace(second, jpeg_quality=swapped[1]),
        ),
        replace(right, first=replace(first, jpeg_quality=None)),
        replace(right, second=replace(second, jpeg_quality=None)),
    ]


# libjpeg and the simulated JPEG differ by a few levels, so the right decisions are recognised by being the nearest.
@pytest.mark.parametrize("kind", _SECOND_ORDER)
def test_jpeg_has_the_drawn_place_and_quality(make_photo: MakePhoto, kind: str) -> None:
    config = degradation_preset(kind)
    differences = []
    for seed in range(24):
        hr = cv2.GaussianBlur(make_photo(160, 128, seed), (0, 0), 4)  # as smooth as most ground
        draws = draw_degradation(config, 2, seed, hr.shape[:2])
        lr = apply_draws(hr, draws) / 255
        right = decisions_from_draws(draws, _same_noise)
        batch = _to_batch(hr).float() / 255
        results = [
            degrade_reference(batch, one)[0].permute(1, 2, 0).numpy() for one in (right, *_with_wrong_jpeg(right))
        ]
        differences.append([np.abs(result - lr).mean() for result in results])
        np.testing.assert_allclose(results[0].mean(axis=(0, 1)), lr.mean(axis=(0, 1)), rtol=0, atol=1 / 255)
    right_difference, *wrong_differences = np.mean(differences, axis=0)
    assert right_difference < 0.92 * min(wrong_differences)


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(preset_names()),
    height=st.integers(8, 70),
    width=st.integers(8, 70),
    scale=st.sampled_from([1, 2, 3, 4, 8]) | st.floats(1, 8),
    seed=st.integers(0, 2**63 - 1),
)
def test_any_size_and_scale_gives_the_promised_shape_again_and_again(
    kind: str, height: int, width: int, scale: float, seed: int
) -> None:
    hr = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    config = degradation_preset(kind)
    lr = degrade(hr, scale, config, seed)
    assert lr.dtype == np.uint8
    assert lr.shape == (int(height / scale), int(width / scale), 3)
    assert np.array_equal(lr, degrade(hr, scale, config, seed))


@pytest.mark.parametrize("kind", _SECOND_ORDER)
def test_seeds_give_different_images(make_photo: MakePhoto, kind: str) -> None:
    hr = make_photo(64, 64)
    config = degradation_preset(kind)
    assert len({degrade(hr, 4, config, seed).tobytes() for seed in range(30)}) == 30


@pytest.mark.parametrize("kind", preset_names())
def test_memory_layout_does_not_matter_and_the_input_is_left_alone(make_photo: MakePhoto, kind: str) -> None:
    hr = make_photo(50, 44)
    before = hr.copy()
    wide = np.zeros((100, 88, 3), dtype=np.uint8)
    wide[::2, ::2] = hr
    locked = hr.copy()
    locked.flags.writeable = False
    layouts = [hr, np.asfortranarray(hr), hr[:, ::-1].copy()[:, ::-1], wide[::2, ::2], locked]
    results = {degrade(layout, 3, degradation_preset(kind), 4).tobytes() for layout in layouts}
    assert len(results) == 1
    for seed in range(12):
        degrade(hr, 3, degradation_preset(kind), seed)
    assert np.array_equal(hr, before)


@pytest.mark.parametrize("kind", _SECOND_ORDER)
@pytest.mark.parametrize("colour", [(0, 0, 0), (77, 77, 77), (255, 255, 255), (200, 90, 31)])
def test_constant_image_without_noise_stays_constant(kind: str, colour: tuple[int, int, int]) -> None:
    hr = np.full((60, 52, 3), colour, dtype=np.uint8)
    exact, compressed = _changed(kind, **_NO_NOISE, **_NO_JPEG), _changed(kind, **_NO_NOISE)
    for seed in range(12):
        assert np.array_equal(np.unique(degrade(hr, 4, exact, seed).reshape(-1, 3), axis=0), [colour])
        lr = degrade(hr, 4, compressed, seed).astype(int)
        assert np.ptp(lr, axis=(0, 1)).max() <= 1
        assert np.abs(lr - colour).max() <= 12  # quality 30 stores chroma means in steps of about 7 levels, twice


def test_bicubic_is_pillows_antialiased_filter(make_photo: MakePhoto) -> None:
    hr = make_photo(71, 94)
    for scale in (2, 3.4, 8):
        lr = degrade(hr, scale, degradation_preset("bicubic"), 0)
        expected = Image.fromarray(hr).resize((int(94 / scale), int(71 / scale)), Image.Resampling.BICUBIC)
        assert np.array_equal(lr, np.asarray(expected))


@pytest.mark.parametrize("num_bands", [1, 2, 4, 7])
def test_bicubic_takes_any_number_of_bands(make_photo: MakePhoto, num_bands: int) -> None:
    hr = np.concatenate([make_photo(40, 36, seed) for seed in range(3)], axis=2)[:, :, :num_bands]
    config = degradation_preset("bicubic")
    lr = degrade(hr, 4, config, 0)
    assert lr.shape == (10, 9, num_bands)
    for band in range(num_bands):
        assert np.array_equal(lr[:, :, band], degrade(hr[:, :, band : band + 1], 4, config, 0)[:, :, 0])


@pytest.mark.parametrize(
    "hr",
    [np.zeros((32, 32, 4), np.uint8), np.zeros((32, 32), np.uint8), np.zeros((32, 32, 3), np.uint16)],
    ids=["four bands", "no bands", "16 bit"],
)
def test_other_images_are_refused(hr: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match="uint8"):
        degrade(hr, 4, degradation_preset("slimdiffsr"), 0)


def test_too_large_a_scale_is_refused(make_photo: MakePhoto) -> None:
    with pytest.raises(DataError, match="no LR image"):
        degrade(make_photo(7, 30), 8, degradation_preset("slimdiffsr"), 0)


def test_workers_keep_opencv_to_one_thread() -> None:
    before = cv2.getNumThreads()
    try:
        configure_worker_threads()
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)


def test_data_workers_need_no_pytorch() -> None:
    code = "import sys, rssr.degradation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("scale", [2, 3.4, 8])
def test_recorded_downsampling(vector_file: Callable[[str], VectorFile], scale: float) -> None:
    recorded = vector_file("ldcsr_data_and_metrics")
    lr = degrade(recorded.tensors["in/hr_uint8"].numpy(), scale, degradation_preset("bicubic"), seed=0)
    recorded.assert_close(f"out/x{scale:g}.lr", torch.from_numpy(lr).permute(2, 0, 1).float() / 255)

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import rssr
from rssr.errors import ModelError
from rssr.methods.phase import Batch, PhaseInputs
from rssr.methods.slimdiffsr.inference import SlimDiffSRResolver
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod
from rssr.methods.slimdiffsr.networks import LOG_VARIANCE_RANGE, SlimDiffSR
from rssr.methods.slimdiffsr.objectives.deviation import DeviationObjective, DeviationPhase

Build = Callable[..., DeviationPhase]
ARCHITECTURE: dict[str, Any] = {
    "block_channels": (8, 16),
    "mid_channels": 16,
    "norm_num_groups": 4,
    "taesd_channels": 8,
    "num_encoder_blocks": (1, 1, 1, 1),
    "num_decoder_blocks": (1, 1, 1, 1),
    "num_queries": 4,
    "query_channels": 8,
    "deviation_channels": 24,
}
UNFUSED: list[dict[str, Any]] = [
    {"autoencoder": "taesd"},
    {"autoencoder": "vae", "vae_channels": (8, 8, 16, 16)},
    {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)},
    {"bands": 4},
]
QUIET, LOUD = 0.05, 0.25


@pytest.fixture
def phase(build: Build) -> DeviationPhase:
    return build("deviation")


def tiny_student(**changes: Any) -> SlimDiffSR:
    torch.manual_seed(2)
    return SlimDiffSR(**{**ARCHITECTURE, **changes})


def planted(student: SlimDiffSR, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """LR images, what the student makes of them, and the errors planted there: large where LR is bright.

    Returns:
        LR images, SR images, and the deviation of the errors for every pixel of these.
    """
    generator = torch.Generator().manual_seed(seed)
    bright = (torch.rand(8, 1, 2, 2, generator=generator) < 0.5).float()
    level = torch.nn.functional.interpolate(bright, size=(16, 16), mode="nearest") * 1.2 - 0.6
    lr = level + 0.1 * torch.randn(8, 3, 16, 16, generator=generator)
    sr = SlimDiffSRResolver(student)(lr, (64, 64)).clamp(-1, 1)
    deviation = torch.nn.functional.interpolate(bright, size=(64, 64), mode="nearest") * (LOUD - QUIET) + QUIET
    return lr, sr, deviation.expand_as(sr)


def fit(student: SlimDiffSR, batches: Iterator[Batch], learning_rate: float, num_steps: int) -> None:
    """Train the head as the loop does: clipped gradients, and a learning rate that falls to a hundredth."""
    objective = DeviationObjective(student)
    parameters = list(objective.trained_parameters().values())
    optimizer = torch.optim.Adam(parameters, learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps, 0.01 * learning_rate)
    for step, batch in zip(range(num_steps), batches, strict=False):
        optimizer.zero_grad()
        objective(batch, step, {}).total.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()


def test_known_errors_are_recovered_on_images_it_was_not_fitted_on() -> None:
    student = tiny_student()
    pool = [planted(student, seed) for seed in range(10)]

    def batches() -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(77)
        for lr, sr, deviation in itertools.cycle(pool):
            yield Batch(lr, sr + deviation * torch.randn(sr.shape, generator=generator), 4.0)

    fit(student, batches(), 5e-3, 150)
    lr, _, truth = planted(student, 1000)
    _, found = SlimDiffSRResolver(student).with_deviation(lr, (64, 64))
    inside = torch.zeros(64, dtype=torch.bool)
    inside[8:24] = inside[40:56] = True  # away from where bright meets dark, which the latent blurs
    region = inside[:, None] & inside
    for known in (QUIET, LOUD):
        predicted = found[..., region][truth[..., region] == known]
        assert predicted.mean().item() == pytest.approx(known, rel=0.15)
        assert predicted.square().mean().sqrt().item() == pytest.approx(known, rel=0.15)


def test_the_deviation_is_a_root_mean_square_and_no_third_of_it() -> None:
    """Constant errors of 0.2 are told as 0.2; Eq. 5 would end at 0.2 / sqrt(3)."""
    student = tiny_student()
    lr = torch.rand(2, 3, 8, 8) - 0.5
    sr = SlimDiffSRResolver(student)(lr, (32, 32)).clamp(-1, 1)
    fit(student, itertools.repeat(Batch(lr, sr + 0.2, 4.0)), 1e-2, 100)
    _, deviation = SlimDiffSRResolver(student).with_deviation(lr, (32, 32))
    torch.testing.assert_close(deviation, torch.full_like(deviation, 0.2), rtol=0.05, atol=0)


def test_loss_falls_and_only_the_head_is_trained(
    phase: DeviationPhase, train: Callable[..., Any], batch: Batch
) -> None:
    before = {name: value.clone() for name, value in phase.student.state_dict().items()}
    record = train(phase, batch)
    losses = record.losses["deviation"]
    assert losses[-1] < losses[0] - 0.1
    heads = {name for name in before if name.startswith("deviation_head.")}
    assert {name for name, value in phase.student.state_dict().items() if not torch.equal(value, before[name])} == heads
    assert record.gradients == {name.replace("deviation_head.", "deviation/head.") for name in heads}


def test_the_images_stay_those_of_the_student(
    phase: DeviationPhase, folders: Mapping[str, Path], batch: Batch, tmp_path: Path
) -> None:
    phase.export(tmp_path)
    alone, extended = rssr.load_model(folders["student"]), rssr.load_model(tmp_path)
    assert extended.name == alone.name
    assert torch.equal(alone.resolver(batch.lr, (64, 64)), extended.resolver(batch.lr, (64, 64)))
    assert isinstance(extended.resolver, SlimDiffSRResolver)
    sr, deviation = extended.resolver.with_deviation(batch.lr, (64, 64))
    assert torch.equal(sr, alone.resolver(batch.lr, (64, 64)))
    assert deviation.shape == sr.shape
    assert (deviation > 0).all()


def test_a_student_without_a_head_says_how_to_get_one(folders: Mapping[str, Path]) -> None:
    resolver = rssr.load_model(folders["student"]).resolver
    assert isinstance(resolver, SlimDiffSRResolver)
    assert not resolver.gives_deviation
    with pytest.raises(ModelError, match=r"phases=\[deviation\]"):
        resolver.with_deviation(torch.zeros(1, 3, 4, 4), (16, 16))


def test_a_head_can_be_fitted_again(
    make_method: Callable[..., SlimDiffSRMethod], phase: DeviationPhase, tmp_path: Path
) -> None:
    phase.export(tmp_path)
    method = make_method(deviation={"channels": 5})
    again = method.build_phase("deviation", PhaseInputs({"student": tmp_path}, torch.device("cpu")))
    assert isinstance(again, DeviationPhase)
    assert again.student.architecture["deviation_channels"] == 5


@pytest.mark.parametrize("change", UNFUSED, ids=["taesd", "vae", "two levels", "four bands"])
def test_every_kind_of_student_can_have_a_head(change: dict[str, Any]) -> None:
    student = tiny_student(**change)
    bands = student.values.bands
    objective = DeviationObjective(student)
    pairs = Batch(torch.rand(1, bands, 16, 16) - 0.5, torch.rand(1, bands, 64, 64) - 0.5, 4.0)
    objective(pairs, 0, {}).total.backward()
    assert all(p.grad is not None for p in objective.trained_parameters().values())
    sr, deviation = SlimDiffSRResolver(student).with_deviation(torch.rand(1, bands, 5, 3), (17, 11))
    assert sr.shape == deviation.shape == (1, bands, 17, 11)


def test_deviations_stay_within_their_bounds_whatever_the_latent() -> None:
    student = tiny_student()
    head = student.deviation_head
    assert head is not None
    torch.nn.init.normal_(head.out.weight, std=10)
    with torch.no_grad():
        log_variance = head(1e4 * torch.randn(1, 8, 4, 4))
    assert log_variance.isfinite().all()
    assert log_variance.min() >= LOG_VARIANCE_RANGE[0]
    assert log_variance.max() <= LOG_VARIANCE_RANGE[1]


def test_half_precision_loss_is_finite_and_close(phase: DeviationPhase, batch: Batch) -> None:
    objective = phase.objectives()["deviation"]
    exact = objective(batch, 0, {}).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = objective(batch, 0, {}).total
    loss.backward()
    assert loss.item() == pytest.approx(exact.item(), abs=0.05)  # nats
    assert all(p.grad.isfinite().all() for p in objective.parameters() if p.grad is not None)


def test_preview_and_validation(phase: DeviationPhase, train: Callable[..., Any], batch: Batch) -> None:
    train(phase, batch, 60, learning_rate=1e-2)
    with torch.no_grad():
        preview, metrics = phase.preview(batch), phase.validate(batch)
    assert preview.shape == batch.hr.shape
    assert preview.abs().max() <= 1
    assert metrics.keys() == {"deviation_nll", "constant_nll", "calibration_ratio", "correlation"}
    assert metrics["deviation_nll"] < metrics["constant_nll"]
    assert metrics["calibration_ratio"] == pytest.approx(1, abs=0.2)
    assert metrics["correlation"] > 0.1


def heavy_tailed(student: SlimDiffSR, seed: int) -> Batch:
    """Errors of which most are far smaller than the root of their mean square."""
    lr, sr, _ = planted(student, seed)
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, sr.shape, generator=generator) * 2 - 1
    return Batch(lr, sr + 0.1 * signs * torch.empty_like(sr).exponential_(generator=generator), 4.0)


def test_a_common_factor_makes_deviations_hold_68_percent_whatever_the_tails(build: Build, tmp_path: Path) -> None:
    phase = build("deviation")
    figures = phase.calibrate(heavy_tailed(phase.student, seed) for seed in range(4))
    assert figures == {"deviation_factor": phase.student.architecture["deviation_factor"]}
    phase.export(tmp_path)
    resolver = rssr.load_model(tmp_path).resolver
    assert isinstance(resolver, SlimDiffSRResolver)
    other = heavy_tailed(phase.student, 1000)
    sr, deviation = resolver.with_deviation(other.lr, (64, 64))
    within = ((sr.clamp(-1, 1) - other.hr).abs() <= deviation).float().mean().item()
    assert within == pytest.approx(0.683, abs=0.05)
    before = figures["deviation_factor"]
    assert phase.calibrate(heavy_tailed(phase.student, seed) for seed in range(4))["deviation_factor"] == before


def test_without_images_deviations_stay_as_the_likelihood_has_them(
    phase: DeviationPhase, caplog: pytest.LogCaptureFixture
) -> None:
    assert phase.calibrate([]) == {"deviation_factor": 1.0}
    assert "large enough" in caplog.text


def test_a_factor_scales_deviations_and_leaves_images_alone() -> None:
    one, other = tiny_student(), tiny_student(deviation_factor=0.5)
    other.load_state_dict(one.state_dict())
    lr = torch.rand(1, 3, 4, 4) - 0.5
    (sr, deviation), (same, half) = (SlimDiffSRResolver(each).with_deviation(lr, (16, 16)) for each in (one, other))
    assert torch.equal(sr, same)
    assert torch.equal(half, 0.5 * deviation)
    with pytest.raises(ModelError, match="deviation_factor"):
        tiny_student(deviation_factor=0.0)


def test_a_new_head_starts_without_the_factor_of_an_earlier_one() -> None:
    student = tiny_student(deviation_factor=0.5)
    student.attach_deviation_head(4)
    assert student.architecture["deviation_factor"] == 1.0

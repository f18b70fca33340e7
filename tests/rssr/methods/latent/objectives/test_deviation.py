import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import rssr
from rssr.errors import ConfigError
from rssr.methods.latent.objectives.deviation import LatentDeviationObjective, LatentDeviationPhase
from rssr.methods.ldcsr.method import LDCSRMethod
from rssr.methods.phase import Batch, PhaseInputs
from rssr.models.latent.network import LatentSR
from rssr.models.latent.resolver import LatentResolver
from tests.rssr.methods.tiny_latent import changed, striped_batch, tiny_sections, train

CPU = torch.device("cpu")


def method_with(**changes: Any) -> LDCSRMethod:
    return LDCSRMethod.from_values(changed(tiny_sections("denoiser"), **changes))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found: dict[str, Path] = {}
    torch.manual_seed(0)
    for name in ("autoencoder", "denoiser", "refinement"):
        phase = method_with().build_phase(name, PhaseInputs(found, CPU))
        train(phase, striped_batch(), 5)
        found[name] = tmp_path_factory.mktemp(name)
        phase.export(found[name])
    return found


@pytest.fixture
def phase(folders: dict[str, Path]) -> LatentDeviationPhase:
    phase = method_with().build_phase("deviation", PhaseInputs(folders, CPU))
    assert isinstance(phase, LatentDeviationPhase)
    return phase


class Spread(LatentSR):
    """Decodes a code to grey images of exactly its brightness; samples of it are what a test makes of them."""

    def __init__(self) -> None:
        super().__init__(channels=4, channel_multipliers=[1, 1], norm_num_groups=4, num_distillation_blocks=[1, 1],
                         denoiser_channels=4, denoiser_multipliers=[1], head_channels=4, num_res_blocks=1,
                         upsampler_channels=4, denoiser_num_res_blocks=1)  # fmt: skip

    def decode(self, latent: Tensor, lr: Tensor, output_size: tuple[int, int], frame: object = None) -> Tensor:
        return latent


def test_factor_and_floor_are_found_where_errors_follow_them() -> None:
    """Samples differ by 0.02 at one half of the places and by 0.1 at the other; errors are 1.5 times as large, and
    0.05 more in squares."""
    spread = torch.where(torch.arange(48) < 24, 0.02, 0.1).expand(2, 3, 48, 48)

    def sample(network: LatentSR, condition: Tensor, batch: Batch) -> Tensor:
        return spread * torch.randn(spread.shape)

    objective = LatentDeviationObjective(Spread(), sample)
    optimizer = torch.optim.Adam(objective.trained_parameters().values(), 0.05)
    torch.manual_seed(0)
    for step in range(150):
        mean_error = ((1.5 * spread) ** 2 + 0.05**2 - spread**2 / 8).sqrt() * torch.randn(spread.shape)
        optimizer.zero_grad()
        objective(Batch(torch.zeros(2, 3, 12, 12), mean_error, 4.0), step, {}).total.backward()
        optimizer.step()
    assert objective.log_factor.exp().item() == pytest.approx(1.5, rel=0.1)
    assert objective.log_floor.exp().item() == pytest.approx(0.05, rel=0.1)


def test_only_the_two_numbers_are_trained_and_the_loss_falls(phase: LatentDeviationPhase) -> None:
    before = {name: value.clone() for name, value in phase.network.state_dict().items()}
    [objective] = phase.objectives().values()
    assert objective.trained_parameters().keys() == objective.trained_state().keys() == {"log_factor", "log_floor"}
    losses = train(phase, striped_batch(), 30, learning_rate=0.05)["deviation"]
    assert losses[-1]["total"] < losses[0]["total"] - 0.1
    assert all(torch.equal(value, before[name]) for name, value in phase.network.state_dict().items())


def tailed(phase: LatentDeviationPhase, seed: int) -> Batch:
    """Whole images with errors of heavy tails around the mean of samples; the root of their mean square is 0.1."""
    generator = torch.Generator().manual_seed(seed)
    lr = 0.5 * torch.rand(1, 3, 10, 9, generator=generator) - 0.25
    sr, _ = method_with().resolver(phase.network).with_deviation(lr, (34, 31))
    signs = torch.randint(0, 2, sr.shape, generator=generator) * 2 - 1
    return Batch(
        lr, sr.clamp(-1, 1) + signs * torch.empty_like(sr).exponential_(2**0.5 / 0.1, generator=generator), 3.4
    )


def test_the_exported_deviation_holds_68_percent_of_the_errors(phase: LatentDeviationPhase, tmp_path: Path) -> None:
    def pairs() -> Iterator[Batch]:
        return (tailed(phase, seed) for seed in range(3))

    likeliest = (
        math.exp(float(each.detach())) for each in phase.objectives()["deviation"].trained_parameters().values()
    )
    figures = phase.calibrate(pairs())
    common = figures["common_factor"]
    assert common < 1, "heavy tails: the root of the mean square holds more"
    for found, before in zip((figures["deviation_factor"], figures["deviation_floor"]), likeliest, strict=True):
        assert found == pytest.approx(common * before)
    assert phase.calibrate(pairs()) == figures, "done again, it finds the same"
    phase.export(tmp_path)
    model = rssr.load_model(tmp_path)
    assert {name: model.architecture[name] for name in ("deviation_factor", "deviation_floor")} == {
        name: figures[name] for name in ("deviation_factor", "deviation_floor")
    }
    assert isinstance(model.resolver, LatentResolver)
    other = tailed(phase, 100)
    sr, deviation = model.resolver.with_deviation(other.lr, (34, 31))
    assert ((sr.clamp(-1, 1) - other.hr).abs() <= deviation).float().mean().item() == pytest.approx(0.683, abs=0.05)


def test_images_stay_those_of_the_network_before(
    phase: LatentDeviationPhase, folders: dict[str, Path], tmp_path: Path
) -> None:
    phase.calibrate([tailed(phase, 0)])
    phase.export(tmp_path)
    lr = torch.rand(1, 3, 8, 8) - 0.5
    first, second = (rssr.load_model(folder).resolver(lr, (27, 27)) for folder in (folders["refinement"], tmp_path))
    assert torch.equal(first, second)


def test_it_builds_on_the_last_network_there_is(folders: dict[str, Path]) -> None:
    assert method_with().needed_phases("deviation") == ("refinement",)
    published = method_with(refinement=None)
    assert published.needed_phases("deviation") == ("denoiser",)
    phase = published.build_phase("deviation", PhaseInputs({"denoiser": folders["denoiser"]}, CPU))
    assert phase.networks().keys() == {"network", "deviation"}


def test_as_published_there_is_no_such_phase() -> None:
    method = method_with(deviation=None)
    assert not method.is_needed("deviation")
    with pytest.raises(ConfigError, match="Phase 'deviation' has no settings"):
        method.build_phase("deviation", PhaseInputs({}, CPU, reads_weights=False))


def test_preview_and_validation(phase: LatentDeviationPhase) -> None:
    batch = striped_batch()
    with torch.no_grad():
        preview, metrics = phase.preview(batch), phase.validate(batch)
    assert preview.shape == batch.hr.shape
    assert preview.abs().max() <= 1
    assert metrics.keys() == {"deviation_nll", "constant_nll", "calibration_ratio", "correlation"}

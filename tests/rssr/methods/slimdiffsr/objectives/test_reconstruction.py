import pytest
import torch
from torch import Tensor

from rssr.errors import WeightsError
from rssr.losses.adversarial import generator_loss
from rssr.losses.reconstruction import psnr_loss
from rssr.methods.phase import Batch
from rssr.methods.slimdiffsr.config import ReconstructionConfig
from rssr.methods.slimdiffsr.objectives.reconstruction import (
    DiscriminatorObjective,
    ReconstructionLoss,
    adversarial_objectives,
    build_reconstruction,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def full(auxiliary: str) -> ReconstructionLoss:
    """The paper's weights (section 4.2)."""
    torch.manual_seed(0)
    return build_reconstruction(ReconstructionConfig(lpips_weight=2.5, gan_weight=0.25), auxiliary, CPU)


@pytest.fixture
def pair(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    sr, hr = torch.rand(2, 1, 3, 32, 32, generator=generator) * 2 - 1
    return sr, hr


def test_total_is_the_weighted_sum(full: ReconstructionLoss, pair: tuple[Tensor, Tensor]) -> None:
    sr, hr = pair
    assert full.lpips is not None
    assert full.discriminator is not None
    total, terms = full(sr, hr)
    expected = {
        "l1": (sr - hr).abs().mean(),
        "lpips": full.lpips(sr, hr).mean(),
        "gan": generator_loss(full.discriminator, sr).detach(),
    }
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)
    torch.testing.assert_close(total, expected["l1"] + 2.5 * expected["lpips"] + 0.25 * expected["gan"])
    assert not any(term.requires_grad for term in terms.values())


def test_the_pixel_loss_can_be_chosen(pair: tuple[Tensor, Tensor]) -> None:
    config = ReconstructionConfig(pixel_loss="psnr", lpips_weight=0, gan_weight=0)
    total, terms = build_reconstruction(config, None, CPU)(*pair)
    assert terms.keys() == {"psnr"}
    torch.testing.assert_close(total, psnr_loss(*pair))


def test_weights_of_zero_need_no_files(pair: tuple[Tensor, Tensor]) -> None:
    plain = build_reconstruction(ReconstructionConfig(lpips_weight=0, gan_weight=0), None, CPU)
    total, terms = plain(*pair)
    assert terms.keys() == {"l1"}
    assert torch.equal(total, terms["l1"])
    assert adversarial_objectives(plain) == {}
    assert list(plain.parameters()) == []


@pytest.mark.parametrize(
    ("weights", "file"),
    [({"lpips_weight": 1, "gan_weight": 0}, "vgg16"), ({"lpips_weight": 0, "gan_weight": 1}, "dino_vits16")],
)
def test_weights_above_zero_without_files_are_refused(weights: dict[str, float], file: str) -> None:
    with pytest.raises(WeightsError, match=file):
        build_reconstruction(ReconstructionConfig(**weights), None, CPU)


def test_generators_loss_holds_no_trained_parameters(full: ReconstructionLoss) -> None:
    assert [name for name, p in full.named_parameters() if p.requires_grad] == []
    (objective,) = adversarial_objectives(full).values()
    assert all(".heads." in name for name in objective.trained_parameters())
    assert objective.trained_state().keys() == objective.trained_parameters().keys()


def test_losses_move_what_they_are_for(full: ReconstructionLoss, pair: tuple[Tensor, Tensor]) -> None:
    sr, hr = pair[0].clone().requires_grad_(), pair[1]
    total, _ = full(sr, hr)
    total.backward()
    assert sr.grad is not None
    assert float(sr.grad.abs().max()) > 0
    assert full.discriminator is not None
    assert [name for name, p in full.discriminator.named_parameters() if p.grad is not None] == []
    objective = DiscriminatorObjective(full.discriminator)
    sr.grad = None
    objective(Batch(hr, hr, 1.0), 0, {"sr": sr.detach()}).total.backward()
    moved = {name for name, p in objective.named_parameters() if p.grad is not None}
    assert moved == objective.trained_parameters().keys()
    assert sr.grad is None
    objective.zero_grad(set_to_none=True)


def test_all_networks_live_on_the_device_that_is_asked_for(auxiliary: str) -> None:
    """The discriminator is no submodule, and so would stay behind."""
    config = ReconstructionConfig(lpips_weight=1, gan_weight=1)
    loss = build_reconstruction(config, auxiliary, torch.device("meta"))
    (objective,) = adversarial_objectives(loss).values()
    places = {value.device.type for module in (loss, objective) for value in (*module.parameters(), *module.buffers())}
    assert places == {"meta"}

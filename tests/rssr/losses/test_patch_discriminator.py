from collections.abc import Callable

import pytest
import torch
from torch import nn

from rssr.losses.patch_discriminator import PatchDiscriminator, adaptive_weight, adversarial_loss, hinge_loss
from tests.rssr.conftest import VectorFile


@pytest.fixture
def discriminator() -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(channels=4)


def test_the_published_size() -> None:
    with torch.device("meta"):
        published = PatchDiscriminator()
    assert sum(p.numel() for p in published.parameters()) == 2_765_633


def test_logits_of_recorded_weights(vector_file: Callable[[str], VectorFile]) -> None:
    recorded = vector_file("ldcsr_stage1_losses")
    discriminator = PatchDiscriminator(channels=recorded.facts["config"]["discriminator"]["ndf"])
    discriminator.load_state_dict(recorded.weights("discriminator"))
    sr = recorded.tensors["out/reconstruction"]
    hr = 2 * recorded.tensors["in/hr"] - 1
    recorded.assert_close("out/logits_fake_map", discriminator(sr))
    recorded.assert_close("out/step60000.g_loss", adversarial_loss(discriminator, sr))
    recorded.assert_close("out/step60000.disc_loss", hinge_loss(discriminator, hr, sr))
    recorded.assert_close("out/step60000.logits_real", discriminator(hr).mean())


def test_the_adversarial_loss_reaches_the_image_and_leaves_the_discriminator_alone(
    discriminator: PatchDiscriminator,
) -> None:
    sr = torch.randn(2, 3, 32, 32, requires_grad=True)
    adversarial_loss(discriminator, sr).backward()
    assert sr.grad is not None
    assert sr.grad.abs().sum() > 0
    assert all(p.grad is None for p in discriminator.parameters())


def test_the_hinge_loss_teaches_to_tell_hr_from_sr(discriminator: PatchDiscriminator) -> None:
    hr, sr = torch.rand(4, 3, 32, 32), -torch.rand(4, 3, 32, 32)
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        hinge_loss(discriminator, hr, sr).backward()
        optimizer.step()
    assert discriminator(hr).mean() > 0.5
    assert discriminator(sr).mean() < -0.5
    assert hinge_loss(discriminator, hr, sr) < 0.3


def test_the_weight_is_the_ratio_of_gradients_at_the_layer() -> None:
    layer = nn.Linear(3, 1, bias=False)
    inputs = torch.tensor([[3.0, 4.0, 0.0]])
    image_loss, adversarial = 2 * layer(inputs).sum(), 0.5 * layer(inputs).sum()
    weight = adaptive_weight(image_loss, adversarial, layer.weight)
    assert weight.item() == pytest.approx(10 / (2.5 + 1e-4))
    assert not weight.requires_grad
    (image_loss + weight * adversarial).backward()  # both graphs are still there
    assert layer.weight.grad is not None


def test_the_weight_is_bounded_where_the_adversarial_loss_has_no_gradient() -> None:
    layer = nn.Linear(3, 1, bias=False)
    image_loss = 1e6 * layer(torch.ones(1, 3)).sum()
    assert adaptive_weight(image_loss, 0 * layer(torch.ones(1, 3)).sum(), layer.weight) == 1e4

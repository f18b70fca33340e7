import pytest
import torch
from torch import Tensor, nn

from rssr.losses.adversarial import Discriminator, discriminator_loss, generator_loss

MEAN, DEVIATION = 0.485, 0.229  # ImageNet's first channel


class Brightness(nn.Module):
    """Two maps: the first channel of the image in [0, 1], and three times that."""

    def forward(self, image: Tensor) -> list[Tensor]:
        first = image[:, :1] * DEVIATION + MEAN
        return [first, 3 * first]


class Convolutions(nn.Module):
    """Two trainable-looking depths, with a dropout that must never be on."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.second = nn.Sequential(nn.Dropout(0.9), nn.Conv2d(6, 6, 3, stride=2, padding=1))

    def forward(self, image: Tensor) -> list[Tensor]:
        hidden = self.first(image)
        return [hidden, self.second(hidden)]


def transparent() -> Discriminator:
    """A discriminator whose logits are the extractor's maps."""
    discriminator = Discriminator(Brightness(), width=1, num_depths=2)
    discriminator.heads = nn.ModuleList([nn.Identity(), nn.Identity()])
    return discriminator


@pytest.fixture
def discriminator() -> Discriminator:
    torch.manual_seed(1)
    return Discriminator(Convolutions(), width=6, num_depths=2, head_channels=8)


def image(first_channel: float) -> Tensor:
    """An image whose first channel is the given value of [0, 1]."""
    return torch.full((2, 3, 4, 4), 2 * first_channel - 1)


@pytest.mark.parametrize(
    ("hr", "sr", "expected"),
    [
        # Depth 1 has the logits themselves, depth 2 three times them; each is half the sum of two hinges.
        (1.0, 0.0, ((0 + 1) / 2 + (0 + 1) / 2) / 2),
        (0.5, 0.25, ((0.5 + 1.25) / 2 + (0 + 1.75) / 2) / 2),
        (0.0, 1.0, ((1 + 2) / 2 + (1 + 4) / 2) / 2),
    ],
)
def test_hinge_loss_by_hand(hr: float, sr: float, expected: float) -> None:
    assert float(discriminator_loss(transparent(), image(hr), image(sr))) == pytest.approx(expected, abs=1e-6)


def test_hinge_is_flat_beyond_the_margin() -> None:
    hr = image(2.0).requires_grad_()
    sr = image(-2.0).requires_grad_()
    loss = discriminator_loss(transparent(), hr, sr)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert hr.grad is not None
    assert float(hr.grad.abs().max()) == 0


def test_generator_loss_by_hand() -> None:
    assert float(generator_loss(transparent(), image(0.5))) == pytest.approx(-(0.5 + 1.5) / 2, abs=1e-6)


def test_only_heads_are_trained(discriminator: Discriminator) -> None:
    trained = {name for name, p in discriminator.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in discriminator.named_parameters() if name.startswith("heads.")}
    assert len(trained) == 2 * 6


def test_extractor_never_leaves_evaluation_mode(discriminator: Discriminator) -> None:
    discriminator.train()
    assert discriminator.heads.training
    assert [name for name, module in discriminator.extractor.named_modules() if module.training] == []
    sr = image(0.3)
    for first, second in zip(discriminator(sr), discriminator(sr), strict=True):
        assert torch.equal(first, second)


def test_generator_loss_moves_the_image_and_nothing_else(discriminator: Discriminator) -> None:
    sr = torch.rand(2, 3, 16, 20).requires_grad_()
    generator_loss(discriminator, sr).backward()  # type: ignore[no-untyped-call]
    assert sr.grad is not None
    assert float(sr.grad.abs().max()) > 0
    assert [name for name, p in discriminator.named_parameters() if p.grad is not None] == []
    assert all(p.requires_grad for p in discriminator.heads.parameters())


def test_discriminator_loss_moves_the_heads_and_nothing_else(discriminator: Discriminator) -> None:
    discriminator_loss(discriminator, torch.rand(2, 3, 16, 20), torch.rand(2, 3, 16, 20)).backward()  # type: ignore[no-untyped-call]
    moved = {name for name, p in discriminator.named_parameters() if p.grad is not None}
    assert moved == {name for name, _ in discriminator.named_parameters() if name.startswith("heads.")}


def test_it_learns_to_tell_two_textures_apart(discriminator: Discriminator, generator: torch.Generator) -> None:
    hr = torch.rand(4, 3, 16, 16, generator=generator) * 2 - 1
    sr = torch.nn.functional.avg_pool2d(hr, 3, stride=1, padding=1)
    optimizer = torch.optim.Adam(discriminator.heads.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = discriminator_loss(discriminator, hr, sr)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert float(generator_loss(discriminator, hr)) < float(generator_loss(discriminator, sr))

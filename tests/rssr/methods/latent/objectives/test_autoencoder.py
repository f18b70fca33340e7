from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rssr.errors import WeightsError
from rssr.losses.latent import kl_divergence
from rssr.losses.lpips import LPIPS
from rssr.losses.patch_discriminator import PatchDiscriminator
from rssr.methods.latent.objectives.autoencoder import AutoencoderObjective, AutoencoderPhase, load_autoencoder
from rssr.methods.ldcsr.config import LDCSRConfig
from rssr.methods.phase import Batch, PhaseInputs
from rssr.models.latent.layout import autoencoder_names
from rssr.resampling import upsample_bicubic
from tests.rssr.conftest import VectorFile
from tests.rssr.methods.tiny_latent import (
    changed,
    gradients_by_published_name,
    recorded_autoencoder,
    striped_batch,
    tiny_sections,
    train,
)

INPUTS = PhaseInputs({}, torch.device("cpu"))


def configured(**autoencoder: Any) -> LDCSRConfig:
    return LDCSRConfig.model_validate(changed(tiny_sections("denoiser"), autoencoder=autoencoder))


def built(**autoencoder: Any) -> AutoencoderPhase:
    config = configured(**autoencoder)
    torch.manual_seed(0)
    return AutoencoderPhase(config.autoencoder, config.architecture, config.base_weights.auxiliary, INPUTS)


def test_recorded_losses_and_gradients(vector_file: Callable[[str], VectorFile]) -> None:
    recorded = vector_file("ldcsr_stage1_losses")
    discriminator = PatchDiscriminator(channels=recorded.facts["config"]["discriminator"]["ndf"])
    discriminator.load_state_dict(recorded.weights("discriminator"))
    config = configured(gan_weight=0.5, pixel_log_variance=recorded.facts["config"]["logvar"]).autoencoder
    assert (config.kl_weight, config.gan_start_step) == (1e-6, 50_001)
    objective = AutoencoderObjective(recorded_autoencoder(), None, discriminator, config)
    lr, hr = (2 * recorded.tensors[f"in/{name}"] - 1 for name in ("lr", "hr"))
    for step in (0, 60_000):
        objective.zero_grad()
        mean, log_variance = objective.autoencoder.encode(lr, hr)
        latent = objective.autoencoder.sample(mean, log_variance, recorded.tensors["in/posterior_noise"])
        sr = objective.autoencoder.decode(latent, lr, (68, 47))
        loss = objective.loss_of(sr, hr, kl_divergence(mean, log_variance), step)
        loss.total.backward()
        recorded.assert_close(f"out/step{step}.total_loss", loss.total)
        recorded.assert_close(f"out/step{step}.kl_loss", loss.terms["kl"])
        recorded.assert_close(f"out/step{step}.rec_loss", loss.terms["l1"])
    recorded.assert_close("out/reconstruction", sr)
    recorded.assert_close("out/step60000.d_weight", 0.5 * loss.terms["gan_balance"])
    recorded.assert_close("out/step60000.g_loss", loss.terms["gan"])
    names = autoencoder_names(dict(objective.autoencoder.named_parameters()))
    gradients = gradients_by_published_name(objective.autoencoder, names)
    for name in ("decoder.upsampler.fuse.8.weight", "encoder.conv_in.weight", "quant_conv.bias"):
        recorded.assert_close(f"out/grad:{name}", gradients[name])


def test_reconstruction_improves_and_beats_what_it_starts_from() -> None:
    phase = built()
    batch = striped_batch()
    with torch.no_grad():
        before = phase.validate(batch)
    losses = train(phase, batch, 60)["autoencoder"]
    with torch.no_grad():
        after = phase.validate(batch)
    assert losses[-1]["total"] < 0.7 * losses[0]["total"]
    assert after["psnr_db"] > before["psnr_db"] + 2
    assert after["bicubic_psnr_db"] == before["bicubic_psnr_db"]


def test_latents_can_start_almost_without_noise_and_learn_how_much_they_want() -> None:
    batch = striped_batch()
    quiet = built(initial_log_variance=-12.0)
    mean, log_variance = quiet.autoencoder.encode(batch.lr, batch.hr)
    assert torch.equal(log_variance, torch.full_like(mean, -12.0))
    assert torch.equal(mean, built().autoencoder.encode(batch.lr, batch.hr)[0])
    train(quiet, batch, 5)
    learnt = quiet.autoencoder.encode(batch.lr, batch.hr)[1]
    assert float(learnt.detach().std()) > 0


def test_the_encoder_can_start_at_what_hr_adds() -> None:
    batch, encode = striped_batch(), built(starts_at_difference=True).autoencoder.encode
    size = batch.hr.shape[2], batch.hr.shape[3]
    with torch.no_grad():
        of_nothing, same, of_hr = (
            encode(lr, hr)[0]
            for lr, hr in (
                (batch.lr, upsample_bicubic(batch.lr, size)),
                (batch.lr.flip(3), upsample_bicubic(batch.lr.flip(3), size)),
                (batch.lr, batch.hr),
            )
        )
    torch.testing.assert_close(of_nothing, same)
    assert float((of_hr - of_nothing).abs().max()) > 0.01


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.4, 7.9])
def test_one_autoencoder_learns_from_all_scales(scale: float) -> None:
    phase = built()
    losses = train(phase, striped_batch(scale), 3)["autoencoder"]
    assert losses[-1]["total"] < losses[0]["total"]


def test_the_adversarial_loss_and_the_discriminator_begin_at_the_start_step() -> None:
    losses = train(built(gan_weight=0.5, gan_start_step=2), striped_batch(), 4)
    assert [("gan" in terms) for terms in losses["autoencoder"]] == [False, False, True, True]
    assert len(losses["discriminator"]) == 2


def test_a_start_beyond_the_phase_never_comes() -> None:
    losses = train(built(gan_weight=0.5, gan_start_step=9), striped_batch(), 2)
    assert losses["discriminator"] == []
    assert "gan" not in losses["autoencoder"][-1]


def test_each_objective_trains_its_own_network_alone() -> None:
    phase = built(gan_weight=0.5, gan_start_step=0)
    batch = striped_batch()
    autoencoder, discriminator = phase.objectives().values()
    loss = autoencoder(batch, 0, {})
    loss.total.backward()
    assert all(p.grad is None for p in discriminator.parameters())
    autoencoder.zero_grad()
    discriminator(batch, 0, loss.carry).total.backward()
    assert all(p.grad is None for p in autoencoder.parameters())
    assert all(p.grad is not None for p in discriminator.parameters())


def test_a_perceptual_distance_is_added_to_every_element() -> None:
    config = configured(lpips_weight=2.0).autoencoder

    class Half(LPIPS):
        def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
            return torch.full((len(first),), 0.5)

    objective = AutoencoderObjective(recorded_autoencoder(), Half(), None, config)
    sr = torch.zeros(2, 3, 4, 4)
    loss = objective.loss_of(sr, sr, torch.zeros(()), 0)
    assert loss.total.item() == pytest.approx(2.0 * 0.5 * 48)
    assert not any("lpips" in name for name in objective.trained_state())


def test_missing_networks_of_the_perceptual_loss_are_named() -> None:
    with pytest.raises(WeightsError, match=r"vgg16\.safetensors.*torchvision"):
        built(lpips_weight=1.0)


def test_what_is_exported_is_loaded_frozen(tmp_path: Path) -> None:
    phase = built()
    phase.export(tmp_path)
    loaded = load_autoencoder(configured().architecture, PhaseInputs({"autoencoder": tmp_path}, torch.device("cpu")))
    assert not any(p.requires_grad for p in loaded.parameters())
    batch = striped_batch(3.4)
    mean, _ = loaded.encode(batch.lr, batch.hr)
    size = batch.hr.shape[-2], batch.hr.shape[-1]
    assert torch.equal(loaded.decode(mean, batch.lr, size), phase.preview(batch))


def test_the_first_stage_of_another_shape_is_refused(tmp_path: Path) -> None:
    built().export(tmp_path)
    with pytest.raises(WeightsError, match="do not fit ResidualAutoencoder"):
        load_autoencoder(configured(channels=16).architecture, PhaseInputs({"autoencoder": tmp_path}, INPUTS.device))


def test_a_batch_of_other_sizes_than_drawn_does_not_matter() -> None:
    """What counts is the ratio of the sizes, not what the plan had drawn."""
    phase = built()
    batch = striped_batch(3.4)
    assert torch.equal(phase.preview(batch), phase.preview(Batch(batch.lr, batch.hr, 3.0)))

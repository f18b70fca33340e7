from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from rssr.methods.phase import Batch
from rssr.methods.slimdiffsr.latents import decode_latent, encode_image
from rssr.methods.slimdiffsr.objectives.base import BasePhase, Latents
from rssr.weights.base import BaseLocations, load_autoencoder, load_tiny_autoencoder, load_unet
from rssr.weights.stand_ins import build_autoencoder

Build = Callable[..., BasePhase]
SECOND_PART = 10  # autoencoder_steps of the tiny configuration


def test_losses_of_both_parts_fall(build: Build, train: Callable[..., Any], batch: Batch) -> None:
    phase = build("base")
    first = train(phase, batch, SECOND_PART)
    assert first.losses["denoiser"] == []
    for name in ("autoencoder", "tiny_autoencoder"):
        assert first.losses[name][-1] < 0.95 * first.losses[name][0]
    second = train(phase, batch, 15, first_step=SECOND_PART)
    assert second.losses["autoencoder"] == []
    assert second.losses["tiny_autoencoder"][-1] < 0.9 * second.losses["tiny_autoencoder"][0]
    assert second.losses["denoiser"][-1] < second.losses["denoiser"][0]


def test_both_parts_train_in_half_precision(build: Build, train: Callable[..., Any], batch: Batch) -> None:
    phase = build("base")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for first_step in (0, SECOND_PART):
            losses = train(phase, batch, 2, first_step).losses
            assert all(0 < loss < 100 for values in losses.values() for loss in values)


def test_objectives_say_when_they_are_trained(build: Build) -> None:
    steps = {name: objective.active_steps(25) for name, objective in build("base").objectives().items()}
    assert steps == {"autoencoder": range(10), "tiny_autoencoder": range(25), "denoiser": range(10, 25)}
    assert build("base").objectives()["denoiser"].active_steps(7) == range(7, 7)


def test_each_part_moves_its_own_networks_alone(build: Build, train: Callable[..., Any], batch: Batch) -> None:
    phase = build("base")
    moved = {name.partition("/")[0] for name in train(phase, batch, 1).gradients}
    assert moved == {"autoencoder", "tiny_autoencoder"}
    before = {name: value.clone() for name, value in phase.autoencoder.state_dict().items()}
    moved = {name.partition("/")[0] for name in train(phase, batch, 2, first_step=SECOND_PART).gradients}
    assert moved == {"tiny_autoencoder", "denoiser"}
    assert all(torch.equal(value, before[name]) for name, value in phase.autoencoder.state_dict().items())


def test_no_network_belongs_to_two_objectives(build: Build) -> None:
    objectives = build("base").objectives().values()
    identities = [id(p) for objective in objectives for p in objective.trained_parameters().values()]
    assert len(identities) == len(set(identities))


def test_deviation_estimate_brings_latents_to_unit_deviation(batch: Batch) -> None:
    torch.manual_seed(0)
    latents = Latents(build_autoencoder((4, 4, 8, 8), 2))
    stds = []
    for brightness in (1.0, 0.2, 0.6, 1.0, 1.4):
        _, deviation = latents.encode(brightness * batch.hr)
        latents.take(float(deviation))
        stds.append(float(deviation))
    assert latents.deviation.item() == pytest.approx(sum(stds) / 5, rel=1e-4)
    latent, deviation = latents.encode(batch.hr)
    assert latent.std().item() == pytest.approx(float(deviation) / latents.deviation.item(), rel=1e-5)
    assert not latent.requires_grad


def test_the_deviation_is_known_when_latents_are_first_needed(
    build: Build, train: Callable[..., Any], batch: Batch
) -> None:
    phase = build("base")
    train(phase, batch, SECOND_PART)
    latents = phase.objectives()["denoiser"].get_submodule("latents")
    assert latents.get_buffer("count").item() == 1
    assert latents.get_buffer("deviation").item() != 1


def test_export_is_a_directory_that_later_phases_load(
    build: Build, train: Callable[..., Any], batch: Batch, tmp_path: Path
) -> None:
    phase = build("base")
    train(phase, batch, 3)
    train(phase, batch, 3, first_step=SECOND_PART)
    phase.export(tmp_path)
    locations = BaseLocations.in_folder(tmp_path)
    autoencoder, tiny, unet = (load(locations) for load in (load_autoencoder, load_tiny_autoencoder, load_unet))
    with torch.no_grad():
        latent = encode_image(autoencoder, batch.hr)
        torch.testing.assert_close(decode_latent(autoencoder, latent), phase.preview(batch), rtol=0, atol=1e-4)
        torch.testing.assert_close(tiny.encoder(batch.hr), phase.tiny.encoder(batch.hr))
        prompt = torch.zeros(2, 8, 8)
        torch.testing.assert_close(unet(latent, 7, prompt).sample, phase.unet(latent, 7, prompt).sample)
    assert latent.std().item() == pytest.approx(1, abs=0.2)


def test_validation_names_both_autoencoders(build: Build, batch: Batch) -> None:
    with torch.no_grad():
        metrics = build("base").validate(batch)
    assert metrics.keys() == {"autoencoder_psnr_db", "tiny_autoencoder_psnr_db"}


def test_text_encoder_is_the_same_after_a_restart(build: Build, folders: Mapping[str, Path]) -> None:
    """It is random and in no checkpoint: its seed brings it back."""
    first, second, other = (build("base", seed=seed).text.embed_empty_prompt() for seed in (4, 4, 5))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)

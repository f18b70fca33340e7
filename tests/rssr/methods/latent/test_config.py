from typing import Any

import pytest
from pydantic import ValidationError

from rssr.methods.lcmsr.config import LCMSRConfig
from rssr.methods.ldcsr.config import LDCSRConfig
from rssr.models.latent.architecture import LatentArchitecture
from tests.rssr.methods.tiny_latent import changed, tiny_sections

REQUIRED = {"num_steps": 1, "batch_size": 1, "learning_rate": 1.0}
LOSSES = {"lpips_weight": 1, "gan_weight": 0.5}


def test_defaults_are_the_published_networks() -> None:
    sections: dict[str, Any] = {"autoencoder": {**REQUIRED, **LOSSES}, "denoiser": REQUIRED}
    published = LatentArchitecture()
    described = LDCSRConfig.model_validate(changed(sections, denoiser={"scale_embedding": "integer"})).architecture
    assert described == published
    told = LDCSRConfig.model_validate(sections).architecture
    assert told.scale_embedding == "continuous", "ours, as the papers' presets say"


def test_lcmsr_differs_in_its_schedule() -> None:
    sections: dict[str, Any] = {"autoencoder": {**REQUIRED, **LOSSES}, "consistency": REQUIRED}
    values = LCMSRConfig.model_validate(sections).architecture
    assert (values.num_timesteps, values.beta_start, values.beta_end) == (1000, 0.0015, 0.0155)
    assert (values.prediction, values.final_renoise) == ("noise", False)


def test_sections_name_their_own_widths() -> None:
    values = LDCSRConfig.model_validate(tiny_sections("denoiser")).architecture
    assert (values.channels, values.channel_multipliers) == (8, (1, 1, 1, 2))
    assert (values.denoiser_channels, values.denoiser_multipliers) == (8, (1, 2))
    assert values.num_distillation_blocks == (1, 1, 1, 1)


def test_contradicting_networks_are_refused_where_they_are_configured() -> None:
    sections = changed(tiny_sections("denoiser"), denoiser={"channels": 6})
    with pytest.raises(ValidationError, match="GroupNorm cannot split 6 channels"):
        LDCSRConfig.model_validate(sections)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"lr_patch_size": 23, "gan_weight": 0.5}, "lr_patch_size is 23, .* at least 24 pixels"),
        ({"lr_patch_size": None, "patch_size": 40, "gan_weight": 0.5, "discriminator_layers": 4}, "patch_size is 40"),
        ({"patch_size": 39}, "patch_size"),
        ({"lpips_weight": -1}, "lpips_weight"),
    ],
)
def test_settings_that_cannot_train_are_refused(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        LDCSRConfig.model_validate(changed(tiny_sections("denoiser"), autoencoder=change))


def test_crops_too_small_for_a_discriminator_train_without_one() -> None:
    sections = changed(tiny_sections("denoiser"), autoencoder={"lr_patch_size": 23, "gan_weight": 0})
    assert LDCSRConfig.model_validate(sections).autoencoder.hr_patch_size(3.4) == 78

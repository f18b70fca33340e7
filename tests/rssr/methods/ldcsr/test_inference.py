from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rssr.errors import ModelError
from rssr.methods.ldcsr.inference import LDCSRResolver, official_inference
from rssr.models.latent.network import LatentSR
from tests.rssr.methods.tiny_latent import recorded_autoencoder, recorded_network

CASES = ["x2", "x3.4", "x8"]


@pytest.fixture(scope="module")
def averaged() -> LatentSR:
    return recorded_network(averaged=True).eval()


@pytest.mark.parametrize("case", CASES)
def test_published_procedure_equals_the_recorded(
    case: str, averaged: LatentSR, vector_file: Callable[[str], Any]
) -> None:
    recorded = vector_file("ldcsr_sampling")
    given = {name.removeprefix(f"in/{case}."): value for name, value in recorded.tensors.items()}
    images = official_inference(given["lr"], averaged, tuple(given["hr"].shape[2:]), _recorded_draw(given))
    recorded.assert_close(f"out/{case}.sr", images.sr)
    recorded.assert_close(f"out/{case}.sr_kd", images.sr_condition)


@pytest.mark.parametrize("case", CASES)
def test_every_step_equals_the_recorded(case: str, averaged: LatentSR, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("ldcsr_sampling")
    given = {name.removeprefix(f"in/{case}."): value for name, value in recorded.tensors.items()}
    size = given["hr"].shape[2:]
    with torch.no_grad():
        condition = averaged.encode_condition(2 * given["lr"] - 1, tuple(size))
        recorded.assert_close(f"mid/{case}.cond", condition)

        def predict(latent: Tensor, timestep: int) -> Tensor:
            if timestep < 3:
                recorded.assert_close(f"mid/{case}.x_after_t{timestep + 1}", latent)
            output = averaged.predict(latent, condition, timestep, size[0] / given["lr"].shape[2], size[0])
            recorded.assert_close(f"mid/{case}.eps_t{timestep}", output)
            return output

        end = LDCSRResolver(averaged).sample(predict, _recorded_draw(given))
    recorded.assert_close(f"mid/{case}.x_after_t0", end)


@pytest.mark.parametrize("case", CASES)
def test_reconstruction_equals_the_recorded(case: str, averaged: LatentSR, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("ldcsr_sampling")
    autoencoder = recorded_autoencoder().eval()
    lr, hr = (2 * recorded.tensors[f"in/{case}.{name}"] - 1 for name in ("lr", "hr"))
    with torch.no_grad():
        latent = autoencoder.sample(*autoencoder.encode(lr, hr), recorded.tensors[f"in/{case}.posterior_noise"])
        recorded.assert_close(f"mid/{case}.z0_scaled", latent * averaged.latent_scaling)
        image = autoencoder.decode(latent, lr, tuple(hr.shape[2:]))
    recorded.assert_close(f"out/{case}.hr_rec", (image.clamp(-1, 1) + 1) / 2)


def test_raw_weights_are_others(averaged: LatentSR, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("ldcsr_sampling")
    given = {name.removeprefix("in/x2."): value for name, value in recorded.tensors.items()}
    raw = official_inference(given["lr"], recorded_network().eval(), (44, 52), _recorded_draw(given))
    assert (raw.sr - recorded.tensors["out/x2.sr"]).abs().max() > 1e-3
    recorded.assert_close("out/x2.sr_kd", raw.sr_condition)  # the condition encoder has no average


def test_where_nothing_needs_padding_resolver_and_published_procedure_agree(
    averaged: LatentSR, generator: torch.Generator
) -> None:
    lr = torch.rand(1, 3, 20, 24, generator=generator)
    resolver = LDCSRResolver(averaged, path="condition")
    images = official_inference(lr, averaged, (40, 48), lambda number: torch.zeros(1, 4, 5, 6))
    sr = (resolver(2 * lr - 1, (40, 48)).clamp(-1, 1) + 1) / 2
    torch.testing.assert_close(sr, images.sr_condition, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("num_timesteps", [2, 8, 16])
def test_networks_of_other_schedules_walk_through_all_their_timesteps(num_timesteps: int) -> None:
    network = recorded_network(num_timesteps=num_timesteps).eval()
    told = []
    network.denoiser.register_forward_pre_hook(lambda _, inputs: told.append(int(inputs[2][0])))
    LDCSRResolver(network)(torch.zeros(1, 3, 4, 4), (8, 8))
    assert told == list(reversed(range(num_timesteps)))


def test_fewer_steps_visit_spread_timesteps_and_more_are_refused(averaged: LatentSR) -> None:
    told = []
    hook = averaged.denoiser.register_forward_pre_hook(lambda _, inputs: told.append(int(inputs[2][0])))
    LDCSRResolver(averaged, num_steps=2)(torch.zeros(1, 3, 4, 4), (8, 8))
    hook.remove()
    assert told == [3, 1]
    with pytest.raises(ModelError, match="schedule has 4 timesteps"):
        LDCSRResolver(averaged, num_steps=8)


def _recorded_draw(given: dict[str, Tensor]) -> Callable[[int], Tensor]:
    return lambda number: given["x_T"] if number == 0 else given[f"step_noise_t{4 - number}"]

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rssr.errors import ModelError
from rssr.methods.lcmsr.inference import LCMSRResolver, official_inference
from tests.rssr.methods.tiny_latent import recorded_network

SCHEDULE = {"num_timesteps": 1000, "beta_start": 0.0015, "beta_end": 0.0155}


@pytest.mark.parametrize(("case", "prediction"), [("x2", "noise"), ("x3.4", "sample")])
def test_published_procedure_equals_the_recorded(case: str, prediction: str, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("lcmsr_sampling")
    given = {name.removeprefix(f"in/{case}."): value for name, value in recorded.tensors.items()}
    network = recorded_network(averaged=True, prediction=prediction, final_renoise=True, **SCHEDULE).eval()
    noises = [given["x_T"], given["final_noise_t0"]]
    images = official_inference(given["lr"], network, tuple(given["hr"].shape[2:]), noises.__getitem__)
    recorded.assert_close(f"out/{case}.sr", images.sr)
    recorded.assert_close(f"out/{case}.sr_kd", images.sr_condition)


def test_latents_equal_the_recorded(vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("lcmsr_sampling")
    given = {name.removeprefix("in/x2."): value for name, value in recorded.tensors.items()}
    for renoise, name in ((False, "x0_hat"), (True, "latent")):
        network = recorded_network(averaged=True, final_renoise=renoise, **SCHEDULE).eval()
        noises = [given["x_T"], given["final_noise_t0"]]
        with torch.no_grad():
            condition = network.encode_condition(2 * given["lr"] - 1, (44, 52))
            latent = LCMSRResolver(network).sample(
                lambda noisy, timestep, network=network, condition=condition: network.predict(
                    noisy, condition, timestep, 2.0, 44
                ),
                noises.__getitem__,
            )
        recorded.assert_close(f"mid/x2.{name}", latent)


@pytest.mark.parametrize(("num_steps", "timesteps"), [(1, [999]), (2, [999, 500]), (4, [999, 750, 500, 250])])
def test_one_jump_is_usual_and_more_an_option(num_steps: int, timesteps: list[int]) -> None:
    network = recorded_network(**SCHEDULE).eval()
    told = []
    network.denoiser.register_forward_pre_hook(lambda _, inputs: told.append(int(inputs[2][0])))
    LCMSRResolver(network, num_steps)(torch.zeros(1, 3, 4, 4), (8, 8))
    assert told == timesteps


def test_impossible_numbers_of_steps_are_refused() -> None:
    with pytest.raises(ModelError, match="0 steps"):
        LCMSRResolver(recorded_network(**SCHEDULE), 0)

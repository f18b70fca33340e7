from collections.abc import Callable
from typing import Any

import pytest
import torch

from rssr.models.latent.autoencoder import ResidualAutoencoder
from tests.rssr.methods.tiny_latent import recorded_autoencoder

CASES = ["x2", "x3.4", "x8"]


@pytest.fixture(scope="module")
def autoencoder() -> ResidualAutoencoder:
    return recorded_autoencoder().eval()


@pytest.mark.parametrize("case", CASES)
def test_encoder_equals_recorded(
    case: str, autoencoder: ResidualAutoencoder, vector_file: Callable[[str], Any]
) -> None:
    recorded = vector_file("ldcsr_encoder")
    with torch.no_grad():
        mean, log_variance = autoencoder.encode(recorded.tensors[f"in/{case}.lr"], recorded.tensors[f"in/{case}.hr"])
    recorded.assert_close(f"out/{case}.mean", mean)
    recorded.assert_close(f"out/{case}.logvar", log_variance)
    recorded.assert_close(f"out/{case}.std", autoencoder.sample(torch.zeros_like(mean), log_variance, torch.ones(())))


@pytest.mark.parametrize("case", CASES)
def test_decoder_equals_recorded(
    case: str, autoencoder: ResidualAutoencoder, vector_file: Callable[[str], Any]
) -> None:
    recorded = vector_file("ldcsr_decoder")
    size = tuple(recorded.tensors[f"out/{case}.sr"].shape[2:])
    with torch.no_grad():
        sr = autoencoder.decode(recorded.tensors[f"in/{case}.z"], recorded.tensors[f"in/{case}.lr"], size)
    recorded.assert_close(f"out/{case}.sr", sr)


def test_log_variances_stay_in_range(autoencoder: ResidualAutoencoder) -> None:
    wide = ResidualAutoencoder(autoencoder.values)
    torch.nn.init.constant_(wide.quant_conv.bias, 1e6)
    with torch.no_grad():
        _, log_variance = wide.encode(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 16, 16))
    assert log_variance.max() == 20

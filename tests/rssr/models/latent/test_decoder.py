from collections.abc import Callable
from typing import Any

import pytest
import torch

from rssr.errors import ModelError
from rssr.models.latent.decoder import ContinuousDecoder, DecoderShape, FixedScaleDecoder
from rssr.models.latent.frame import whole_frame
from rssr.models.latent.layout import decoder_names

TINY = DecoderShape(
    channels=8, num_res_blocks=1, num_distillation_blocks=(1, 1), norm_num_groups=4, upsampler_channels=8
)


def test_fixed_scale_decoder_equals_recorded(vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("lcmsr_fixed_scale_decoder")
    facts = recorded.facts["config"][0]
    shape = DecoderShape(
        channels=facts["ch"],
        num_res_blocks=facts["num_res_blocks"],
        num_distillation_blocks=tuple(facts["num_sr_modules"]),
        norm_num_groups=facts["norm_num_groups"],
    )
    decoder, weights = FixedScaleDecoder(shape, facts["scale"]), recorded.weights("x4")
    names = decoder_names(decoder.state_dict())
    assert set(names.values()) == set(weights)
    decoder.load_state_dict({name: weights[official] for name, official in names.items()})
    with torch.no_grad():
        sr = decoder(recorded.tensors["in/x4.z"], recorded.tensors["in/x4.lr"], tuple(facts["out"]))
    recorded.assert_close("out/x4.sr", sr)


def test_fixed_scale_decoder_refuses_other_sizes() -> None:
    with pytest.raises(ModelError, match="not 4 times"):
        FixedScaleDecoder(TINY, 4)(torch.zeros(1, 4, 2, 2), torch.zeros(1, 3, 4, 4), (12, 16))


@pytest.mark.parametrize("size", [(17, 40), (16, 16), (64, 9)])
def test_frame_of_the_whole_image_changes_nothing(size: tuple[int, int], generator: torch.Generator) -> None:
    decoder = ContinuousDecoder(TINY)
    lr = torch.randn(1, 3, 8, 8, generator=generator)
    latent = torch.randn(1, 4, 1, 1, generator=generator)  # one position: where it lies cannot matter
    with torch.no_grad():
        torch.testing.assert_close(
            decoder(latent, lr, size, whole_frame((8, 8), size)), decoder(latent, lr, size), atol=1e-5, rtol=1e-4
        )


def test_strips_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch, generator: torch.Generator) -> None:
    decoder = ContinuousDecoder(TINY)
    lr, latent = torch.randn(2, 3, 6, 5, generator=generator), torch.randn(2, 4, 2, 2, generator=generator)
    whole = decoder(latent, lr, (23, 19)).detach()
    calls = []
    decoder.upsampler.fuse.register_forward_hook(lambda _module, _inputs, out: calls.append(out.shape[2]))
    monkeypatch.setattr("rssr.models.latent.decoder._STRIP_VALUES", 2 * 19 * 8 * 5)
    with torch.no_grad():
        torch.testing.assert_close(decoder(latent, lr, (23, 19)), whole)
    assert calls == [5, 5, 5, 5, 3]


def test_decoder_is_told_the_real_scale(generator: torch.Generator) -> None:
    decoder = ContinuousDecoder(TINY)
    seen = []
    decoder.mixings[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2]))
    lr, latent = torch.randn(1, 3, 10, 9, generator=generator), torch.randn(1, 4, 4, 4, generator=generator)
    decoder(latent, lr, (34, 31))
    assert seen == [pytest.approx(3.4)]

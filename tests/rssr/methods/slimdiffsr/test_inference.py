from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rssr.errors import ImageError
from rssr.methods.slimdiffsr.inference import SlimDiffSRResolver, match_statistics, official_inference
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.methods.slimdiffsr.weights import import_slimdiffsr
from rssr.models.loaded import load_model
from rssr.models.resolver import SuperResolver
from rssr.resampling import upsample_bicubic

CASES = {"x4_pad": 4, "x8_pad": 8, "x4_exact": 4}


@pytest.fixture(scope="module")
def recorded_network(student_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> SlimDiffSR:
    folder = tmp_path_factory.mktemp("models") / "student"
    import_slimdiffsr(student_checkpoint, folder, norm_num_groups=8)
    return load_model(folder).network


@pytest.mark.parametrize("case", CASES)
def test_official_procedure_equals_the_recorded(
    case: str, recorded_network: SlimDiffSR, vector_file: Callable[[str], Any]
) -> None:
    recorded = vector_file("slim_inference")
    sr = official_inference(recorded.tensors[f"in/{case}.lr_uint8"].numpy(), recorded_network, CASES[case])
    name = f"out/{case}.sr_uint8"
    recorded.assert_close(name, torch.from_numpy(sr))
    share = (torch.from_numpy(sr) != recorded.tensors[name]).double().mean().item()
    assert share <= recorded.facts["max_fraction_of_differing_elements"][name]


def test_stages_of_the_official_procedure_equal_the_recorded(
    recorded_network: SlimDiffSR, vector_file: Callable[[str], Any]
) -> None:
    recorded = vector_file("slim_inference")
    lr = recorded.tensors["in/x4_pad.lr_uint8"].permute(2, 0, 1)[None].float() / 255 * 2 - 1
    upsampled = upsample_bicubic(lr, (144, 208))
    recorded.assert_close("mid/x4_pad.upsampled", upsampled)
    output = SlimDiffSRResolver(recorded_network).run_upsampled(upsampled, 256)
    recorded.assert_close("mid/x4_pad.network_output_cropped", output)
    recorded.assert_close("mid/x4_pad.output_mean", output.mean(dim=(2, 3)))
    recorded.assert_close("mid/x4_pad.output_std", output.std(dim=(2, 3)))


class Identity(nn.Module):
    """Stands where a student does and returns its input, so that geometry shows."""

    stride = 16

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape[2:]))
        return x * self.weight


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(1, 40)] * 2), st.tuples(*[st.integers(1, 90)] * 2))
def test_resolver_changes_nothing_but_what_the_network_does(
    lr_size: tuple[int, int], output_size: tuple[int, int]
) -> None:
    network = Identity()
    lr = torch.rand(1, 3, *lr_size)
    assert torch.equal(SlimDiffSRResolver(network)(lr, output_size), upsample_bicubic(lr, output_size))
    assert all(side % network.stride == 0 for side in network.seen[0])


def test_resolver_is_a_super_resolver_without_gradients(tiny_architecture: dict[str, Any]) -> None:
    resolver = SlimDiffSRResolver(SlimDiffSR(**tiny_architecture))
    assert isinstance(resolver, SuperResolver)
    assert not resolver(torch.zeros(1, 3, 4, 4), (8, 8)).requires_grad


def test_resolver_runs_in_the_networks_type(tiny_architecture: dict[str, Any]) -> None:
    network = SlimDiffSR(**tiny_architecture).to(torch.bfloat16)
    assert SlimDiffSRResolver(network)(torch.zeros(1, 3, 4, 5), (17, 20)).dtype == torch.float32


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (9, 32)])
def test_official_procedure_has_a_rule_for_small_images(
    size: tuple[int, int], tiny_architecture: dict[str, Any]
) -> None:
    lr = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    sr = official_inference(lr, SlimDiffSR(**tiny_architecture).eval(), 4)
    assert sr.shape == (size[0] * 4, size[1] * 4, 3)
    assert sr.dtype == np.uint8


def test_official_procedure_truncates_and_clamps() -> None:
    lr = np.zeros((64, 64, 3), np.uint8)
    lr[:32] = 255
    sr = official_inference(lr, Identity(), 4)  # an exact multiple: statistics match already
    upsampled = upsample_bicubic(torch.from_numpy(lr).permute(2, 0, 1)[None].float(), (256, 256))
    expected = upsampled.clamp(0, 255)[0].permute(1, 2, 0).numpy()
    below = expected - sr
    assert below.min() > -1e-3
    assert below.max() < 1 + 1e-3
    assert below.max() > 0.6  # rounding would stay within a half


def test_official_procedure_refuses_other_types() -> None:
    with pytest.raises(ImageError, match="8-bit"):
        official_inference(np.zeros((4, 4, 3), np.float32), Identity(), 4)


def test_matching_gives_the_references_statistics(generator: torch.Generator) -> None:
    sr = torch.randn(2, 3, 9, 11, generator=generator)
    reference = 3 * torch.randn(2, 3, 20, 7, generator=generator) + 1
    matched = match_statistics(sr, reference)
    torch.testing.assert_close(matched.mean(dim=(2, 3)), reference.mean(dim=(2, 3)))
    torch.testing.assert_close(matched.std(dim=(2, 3)), reference.std(dim=(2, 3)))

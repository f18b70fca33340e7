from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from rssr.layers.resampling import Downsample, Upsample, pad_to_multiple, with_broad_colors_of


@pytest.mark.parametrize(("case", "layer"), [("downsample", Downsample(24)), ("upsample", Upsample(48))])
def test_resampling_equals_recorded(case: str, layer: nn.Module, vector_file: Callable[[str], Any]) -> None:
    recorded = vector_file("slim_blocks")
    layer.load_state_dict(recorded.weights(case))
    with torch.no_grad():
        recorded.assert_close(f"out/{case}.y", layer(recorded.tensors[f"in/{case}.x"]))


sides = st.integers(1, 40)


@given(height=sides, width=sides, multiple=st.integers(1, 64))
def test_padding_gives_multiples_and_keeps_the_image(height: int, width: int, multiple: int) -> None:
    x = torch.arange(height * width).reshape(1, 1, height, width)
    padded = pad_to_multiple(x, multiple)
    assert padded.shape[2] % multiple == 0
    assert padded.shape[3] % multiple == 0
    assert padded.shape[2] - height < multiple
    assert padded.shape[3] - width < multiple
    assert torch.equal(padded[:, :, :height, :width], x)


@given(height=sides, width=sides, multiple=st.integers(1, 64))
def test_padding_reflects_as_numpy_does_at_any_size(height: int, width: int, multiple: int) -> None:
    x = torch.arange(height * width).reshape(1, 1, height, width)
    rows, columns = -height % multiple, -width % multiple
    expected = np.pad(x[0, 0].numpy(), ((0, rows), (0, columns)), mode="reflect")
    assert np.array_equal(pad_to_multiple(x, multiple)[0, 0].numpy(), expected)


def test_padding_is_pytorchs_where_that_works(generator: torch.Generator) -> None:
    x = torch.randn(2, 3, 20, 30, generator=generator)
    assert torch.equal(pad_to_multiple(x, 16), F.pad(x, (0, 2, 0, 12), mode="reflect"))


def test_one_sided_downsampling_sees_right_and_bottom_neighbours() -> None:
    layer = Downsample(1, symmetric=False)
    with torch.no_grad():
        layer.conv.weight.zero_()
        layer.conv.weight[0, 0, 0, 0] = 1
        layer.conv.bias.zero_()
        x = torch.arange(36.0).reshape(1, 1, 6, 6)
        assert torch.equal(layer(x), x[:, :, ::2, ::2])


@given(height=sides, width=sides, cell=st.sampled_from([2, 8]))
def test_a_constant_difference_of_colour_is_removed_at_any_size(height: int, width: int, cell: int) -> None:
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height), dtype=torch.float64)
    shift = torch.tensor([0.3, -0.2, 0.05], dtype=torch.float64).view(1, 3, 1, 1)
    torch.testing.assert_close(with_broad_colors_of(image + shift, image, cell), image)


def test_fine_texture_stays_and_broad_colour_is_taken() -> None:
    across = torch.arange(256.0).expand(1, 1, 256, 256)
    fine, broad = torch.cos(across * torch.pi / 2), torch.cos(across * torch.pi / 128)
    matched = with_broad_colors_of(fine, broad)
    inside = slice(64, -64)
    torch.testing.assert_close(matched[..., inside], (fine + broad)[..., inside], atol=0.05, rtol=0)


def test_nothing_farther_than_four_cells_has_a_share() -> None:
    image, source = torch.zeros(1, 1, 128, 128), torch.zeros(1, 1, 128, 128)
    source[..., 64, 64] = 1.0
    rows, columns = torch.nonzero(with_broad_colors_of(image, source)[0, 0], as_tuple=True)
    assert len(rows) > 100
    assert (rows - 64).abs().max() <= 32
    assert (columns - 64).abs().max() <= 32

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from rssr.layers.resampling import Downsample, Upsample, pad_to_multiple


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

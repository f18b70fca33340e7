import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.inference.other_bands import BicubicRows
from rssr.resampling import upsample_bicubic
from rssr.tiling import output_size


@settings(max_examples=40, deadline=None)
@given(st.tuples(st.integers(1, 60), st.integers(1, 30)), st.sampled_from([1, 2, 4, 3.4, 1.5]), st.integers(1, 100))
def test_rows_are_those_of_the_whole_enlargement(size: tuple[int, int], scale: float, step: int) -> None:
    lr = np.random.default_rng(0).normal(3000, 500, (2, *size)).astype(np.float32)
    sr_size = output_size(size, scale)
    bicubic = BicubicRows(
        size, sr_size, lambda first, stop: (lr[:, first:stop], np.ones((stop - first, size[1]), np.bool_))
    )
    parts = [bicubic.rows(row, min(step, sr_size[0] - row), np.float32) for row in range(0, sr_size[0], step)]
    whole = upsample_bicubic(torch.from_numpy(lr)[None], sr_size)[0].numpy()
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=0.02)


def test_holes_do_not_bleed() -> None:
    lr, mask = np.full((1, 30, 30), 500, np.uint16), np.ones((30, 30), np.bool_)
    lr[:, 10:20, 10:20], mask[10:20, 10:20] = 0, False
    bicubic = BicubicRows((30, 30), (60, 60), lambda first, stop: (lr[:, first:stop], mask[first:stop]))
    np.testing.assert_allclose(bicubic.rows(0, 60, np.float32), 500, atol=1e-3)


def test_rows_without_any_data_are_zero() -> None:
    bicubic = BicubicRows(
        (30, 30), (60, 60), lambda first, stop: (np.ones((1, stop - first, 30)), np.zeros((stop - first, 30), np.bool_))
    )
    assert not bicubic.rows(10, 20, np.float32).any()

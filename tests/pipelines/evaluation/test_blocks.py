import math

import numpy as np
import pytest

from pipelines.evaluation.blocks import BlockPlan, mean_of_blocks, psnr_of_blocks
from rssr.metrics.fidelity import SSIM_WINDOW, psnr_y, ssim_y


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    hr = random.integers(0, 256, (83, 61, 3)).astype(np.uint8)
    noise = np.linspace(0, 60, 61)[:, None] * random.standard_normal((83, 61, 3))  # so that blocks differ
    return np.clip(hr + noise, 0, 255).astype(np.uint8), hr


@pytest.mark.parametrize("size", [(1, 1), (83, 61), (40, 20), (21, 100)])
@pytest.mark.parametrize("overlap", [0, 10])
def test_blocks_cover_every_pixel_and_every_window_once(size: tuple[int, int], overlap: int) -> None:
    size = tuple(side + overlap for side in size)
    counts = np.zeros([side - overlap for side in size], int)
    for rows, columns, num_pixels in BlockPlan(20, overlap).blocks(size):
        assert rows.stop <= size[0]
        assert columns.stop <= size[1]
        windows = slice(rows.start, rows.stop - overlap), slice(columns.start, columns.stop - overlap)
        counts[windows] += 1
        assert counts[windows].size == num_pixels
        assert max(counts[windows].shape) <= 20
    assert (counts == 1).all()


def test_psnr_of_blocks_is_that_of_the_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    sr, hr = pair
    blocks = list(BlockPlan(20).blocks((83, 61)))
    values = [psnr_y(sr[rows, columns], hr[rows, columns]) for rows, columns, _ in blocks]
    assert psnr_of_blocks(values, [block.num_pixels for block in blocks]) == pytest.approx(psnr_y(sr, hr), abs=1e-9)


def test_ssim_of_blocks_is_that_of_the_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    sr, hr = pair
    blocks = list(BlockPlan(20, SSIM_WINDOW - 1).blocks((83, 61)))
    values = [ssim_y(sr[rows, columns], hr[rows, columns]) for rows, columns, _ in blocks]
    assert mean_of_blocks(values, [block.num_pixels for block in blocks]) == pytest.approx(ssim_y(sr, hr), abs=1e-9)


def test_blocks_without_any_error_have_one_when_all_have_none() -> None:
    assert psnr_of_blocks([math.inf, math.inf], [1, 1]) == math.inf
    assert psnr_of_blocks([math.inf, 20.0], [1, 1]) == pytest.approx(20.0 + 10 * math.log10(2))

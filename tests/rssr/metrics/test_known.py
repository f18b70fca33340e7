from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rssr.degradation import downsample_bicubic
from rssr.degradation.resize import resize_to
from rssr.errors import ImageError
from rssr.metrics.known import filled, known_pixels, reached_by_unknown, require_alike

Size = tuple[int, int]


def resized(image: npt.NDArray[Any], size: Size, finer: bool) -> npt.NDArray[np.float32]:
    result = resize_to(image, size, "bicubic") if finer else downsample_bicubic(image, size)
    return result.reshape(size)


@settings(max_examples=80)
@given(
    coarse=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    ratios=st.tuples(st.floats(1, 5), st.floats(1, 5)),
    finer=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_pixel_that_an_unknown_one_changes_is_reached(
    coarse: Size, ratios: tuple[float, float], finer: bool, seed: int
) -> None:
    fine = int(coarse[0] * ratios[0]), int(coarse[1] * ratios[1])
    size, new_size = (coarse, fine) if finer else (fine, coarse)
    generator = np.random.default_rng(seed)
    known = generator.random(size) > 0.05
    image = generator.normal(size=(*size, 1)).astype(np.float32)
    other = np.where(known[..., None], image, image + 100).astype(np.float32)
    changed = resized(image, new_size, finer) != resized(other, new_size, finer)
    reached = reached_by_unknown(known, new_size)
    assert not (changed & ~reached).any()
    if size != new_size:
        assert reached.any() == (not known.all())


def test_only_pixels_within_the_kernel_are_reached() -> None:
    known = np.ones((40, 40), bool)
    known[17, 22] = False
    coarse = reached_by_unknown(known, (10, 10))
    assert np.argwhere(coarse).min(axis=0).tolist() == [2, 4]
    assert np.argwhere(coarse).max(axis=0).tolist() == [5, 7]
    assert coarse.sum() == 16
    assert reached_by_unknown(known, (160, 160)).sum() == 16 * 16
    assert not reached_by_unknown(np.ones((7, 5), bool), (3, 2)).any()


def test_pixels_are_known_where_all_bands_are_numbers_and_the_mask_is_true() -> None:
    image = np.zeros((2, 3, 4), np.float32)
    image[0, 0, 3], image[1, 1, 0] = np.nan, np.inf
    assert known_pixels(image, "SR").tolist() == [[False, True, True], [True, False, True]]
    mask = np.array([[True, False, True], [True, True, True]])
    known = known_pixels(image, "SR", mask)
    assert known.tolist() == [[False, False, True], [True, False, True]]
    assert np.isfinite(filled(image, known)).all()
    assert known_pixels(np.zeros((2, 3, 1), np.uint8), "SR").all()


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((4, 0, 3), np.uint8)])
def test_what_is_no_image_is_refused_by_name(image: npt.NDArray[Any]) -> None:
    with pytest.raises(ImageError, match="The LR image is"):
        known_pixels(image, "LR")


def test_images_and_masks_that_do_not_fit_are_refused() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ImageError, match="mask is"):
        known_pixels(image, "LR", np.ones((4, 5), bool))
    for other in (image.astype(np.float32), image[..., :1]):
        with pytest.raises(ImageError, match="SR and LR images differ"):
            require_alike(image, other, "SR and LR")

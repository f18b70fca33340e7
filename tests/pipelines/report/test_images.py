from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.report.images import LOSSLESS, Encoding, embed_image, encoding_within


def test_small_pictures_are_embedded_without_loss(
    picture: NDArray[np.uint8], pixels_of: Callable[[str], NDArray[np.uint8]]
) -> None:
    embedded = embed_image(picture)
    assert (embedded.width, embedded.height) == (40, 24)
    np.testing.assert_array_equal(pixels_of(embedded.uri), picture)


def test_grey_pictures_are_embedded(picture: NDArray[np.uint8], pixels_of: Callable[[str], NDArray[np.uint8]]) -> None:
    np.testing.assert_array_equal(pixels_of(embed_image(picture[..., 0]).uri), picture[..., 0])


def test_large_pictures_are_reduced_but_keep_their_shape(pixels_of: Callable[[str], NDArray[np.uint8]]) -> None:
    embedded = embed_image(np.zeros((1500, 3000, 3), np.uint8))
    assert pixels_of(embedded.uri).shape == (1024, 2048, 3)
    assert (embedded.width, embedded.height) == (3000, 1500)


def test_noisy_pictures_stay_small_and_close(pixels_of: Callable[[str], NDArray[np.uint8]]) -> None:
    noise = np.random.default_rng(0).integers(96, 160, (700, 700, 3), dtype=np.uint8)
    embedded = embed_image(noise)
    assert len(embedded.uri) < 1_400_000
    assert np.abs(pixels_of(embedded.uri).astype(int) - noise).mean() < 4


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(pixels: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"expected uint8|no pixels"):
        embed_image(pixels)


def test_all_pictures_get_the_most_faithful_encoding_that_fits(pixels_of: Callable[[str], NDArray[np.uint8]]) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (300, 400, 3), dtype=np.uint8) for _ in range(20)]
    whole = sum(len(embed_image(pixels, LOSSLESS).uri) for pixels in pictures)
    assert encoding_within(pictures, 1.1 * whole) == LOSSLESS
    found = encoding_within(pictures, 0.3 * whole)
    assert found.jpeg_quality is not None
    embedded = [embed_image(pixels, found) for pixels in pictures]
    assert 0.05 * whole < sum(len(picture.uri) for picture in embedded) < 0.33 * whole
    assert (embedded[0].width, embedded[0].height) == (400, 300), "the frame stays that of the picture as given"
    assert max(pixels_of(embedded[0].uri).shape) <= found.largest_side


def test_where_nothing_fits_the_smallest_encoding_is_taken() -> None:
    pictures = [np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)]
    assert encoding_within(pictures, 10) == Encoding(256, 80)
    assert encoding_within([], 10) == LOSSLESS


def test_an_encoding_tells_what_it_does_to_pictures() -> None:
    assert LOSSLESS.words == ""
    assert Encoding(1024, 92).words == "JPEG of quality 92, larger sides reduced to 1,024 pixels"

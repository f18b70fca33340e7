"""From reflectance to network values and to pictures."""

import numpy as np
import pytest

from pipelines.stages.stretch import ToNetworkValues, as_picture, display_order
from rssr.stretch import StretchConfig

FOUR = ("B02", "B03", "B04", "B08")


def test_both_images_of_a_batch_are_stretched_a_band_at_a_time() -> None:
    batch = {"hr": np.full((2, 8, 8, 4), 0.15, np.float32), "lr": np.full((2, 2, 2, 4), 0.3, np.float32), "scale": 4.0}
    seen = ToNetworkValues(StretchConfig().over(FOUR))(batch)
    np.testing.assert_allclose(seen["hr"][0, 0, 0], [0, 0, 0, -0.4], atol=1e-6)
    np.testing.assert_allclose(seen["lr"][1, 1, 1], [1, 1, 1, 0.2], atol=1e-6)
    assert seen["hr"].dtype == np.float32
    assert seen["scale"] == 4.0


@pytest.mark.parametrize(
    ("bands", "order"),
    [
        (FOUR, (2, 1, 0)),
        (("red", "green", "blue"), (0, 1, 2)),
        (("B08", "B11", "B12"), (0, 1, 2)),
        (("B08",), (0, 0, 0)),
    ],
)
def test_red_green_and_blue_are_shown_as_such(bands: tuple[str, ...], order: tuple[int, ...]) -> None:
    assert display_order(bands) == order


def test_pictures_stay_and_network_values_are_cut_off_at_black_and_white() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert as_picture(picture, ("red", "green", "blue")) is picture
    values = np.array([[[-3, 0, 3, 9]]], np.float32)
    assert as_picture(values, FOUR).tolist() == [[[255, 128, 0]]]

import numpy as np

from rssr.masks import enlarge_mask, filled


def test_masks_grow_pixel_by_pixel() -> None:
    mask = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(enlarge_mask(mask, (6, 4)), mask.repeat(3, 0).repeat(2, 1))


def test_each_pixel_of_a_fractional_scale_takes_what_its_centre_lies_in() -> None:
    mask = np.array([[True, False, True]])
    assert enlarge_mask(mask, (1, 4)).tolist() == [[True, False, False, True]]


def test_holes_take_the_nearest_value() -> None:
    values = np.array([[[1.0, 9.0, 9.0, 9.0, 5.0]]], np.float32)
    mask = np.array([[True, False, False, False, True]])
    assert filled(values, mask)[0, 0, [0, 1, 3, 4]].tolist() == [1, 1, 5, 5]
    assert filled(values, np.ones_like(mask)) is values

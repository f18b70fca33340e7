import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rssr.inference.radiometric import StoredStretch, of_bands, tells_reflectance
from rssr.raster import Radiometry
from rssr.stretch import StretchConfig

OFFSET = Radiometry((1e-4, 1e-4), (-0.1, -0.1))


@given(
    dtype=st.sampled_from(["uint8", "uint16", "int16"]),
    scale=st.sampled_from([1e-4, 1 / 255, 1.0]),
    offset=st.sampled_from([0.0, -0.1]),
    gamma=st.sampled_from([1.0, 1.5]),
)
def test_stored_numbers_come_back_to_the_last_one(dtype: str, scale: float, offset: float, gamma: float) -> None:
    limits = np.iinfo(dtype)
    stored = np.linspace(max(limits.min, -2000), min(limits.max, 12_000), 500).astype(dtype).reshape(2, 10, 25)
    stretch = StretchConfig(low=0.0, high=0.4, gamma=gamma).over(["B04", "B08"])
    values = StoredStretch(stretch, Radiometry((scale,) * 2, (offset,) * 2), np.dtype(dtype))
    network = values.to_network(stored)
    assert network.dtype == np.float32
    assert np.abs(values.from_network(network).astype(int) - stored).max() <= (0 if scale < 1 else 1)
    np.testing.assert_array_equal(values.stored(values.exact_from_network(network)), values.from_network(network))


def test_the_stretch_is_over_physical_values() -> None:
    values = StoredStretch(StretchConfig().over(["B04", "B08"]), OFFSET, np.dtype("uint16"))
    seen = values.to_network(np.array([[1000, 2500, 4000], [1000, 3500, 6000]], np.uint16))
    np.testing.assert_allclose(seen, [[-1, 0, 1], [-1, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(values.deviation_from_network(np.ones((2, 3), np.float32))[:, 0], [1500, 2500])


def test_what_a_type_cannot_hold_is_clipped_and_decimals_are_not() -> None:
    stretch = StretchConfig(low=0, high=255).over(["a"])
    loud = np.array([[-3.0, 0.0, 3.0]], np.float32)
    whole = StoredStretch(stretch, Radiometry.undeclared(1), np.dtype("uint8")).from_network(loud)
    assert whole.tolist() == [[0, 128, 255]]
    decimal = StoredStretch(stretch, Radiometry.undeclared(1), np.dtype("float32")).from_network(loud)
    np.testing.assert_allclose(decimal, [[-255, 127.5, 510]])


@pytest.mark.parametrize(
    ("radiometry", "dtype", "expected"),
    [
        (OFFSET, "uint16", True),
        (Radiometry((1e-4,), (0.0,)), "int16", True),
        (Radiometry((1 / 255,), (0.0,)), "uint8", True),
        (Radiometry((0.01,), (0.0,)), "uint16", False),
        (Radiometry((1.0,), (273.15,)), "uint8", False),
        (Radiometry((1e-4,), (-0.1,), declared=False), "uint16", False),
        (Radiometry((1e-4,), (0.0,)), "float32", False),
    ],
)
def test_scale_and_offset_are_taken_for_reflectance_only_if_they_can_be(
    radiometry: Radiometry, dtype: str, expected: bool
) -> None:
    assert tells_reflectance(radiometry, np.dtype(dtype)) == expected


def test_bands_may_be_chosen() -> None:
    radiometry = Radiometry((1.0, 2.0, 3.0), (0.0, 0.1, 0.2))
    assert of_bands(radiometry, [2, 0]) == Radiometry((3.0, 1.0), (0.2, 0.0))

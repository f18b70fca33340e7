import numpy as np
import pytest

from pipelines.stages.measure import Measure, MeasureBands
from rssr.errors import ImageError
from rssr.metrics import psnr_y, ssim_y
from rssr.scenes import generate_scene


@pytest.fixture
def hr() -> np.ndarray:
    return generate_scene(1, 48, 60, gsd_m=0.5)


def test_values_are_those_of_the_papers_metrics(hr: np.ndarray) -> None:
    sr = np.roll(hr, 1, axis=1)
    measured = Measure(border=4)({"sr": sr, "hr": hr})
    assert measured == {"psnr_y_db": psnr_y(sr, hr, border=4), "ssim_y": ssim_y(sr, hr, border=4)}


def test_what_lies_within_the_border_alone_counts(hr: np.ndarray) -> None:
    sr = hr.copy()
    sr[:4], sr[-4:], sr[:, :4], sr[:, -4:] = 0, 0, 0, 0
    assert Measure(border=4)({"sr": sr, "hr": hr}) == {"psnr_y_db": np.inf, "ssim_y": 1.0}
    assert Measure(border=3)({"sr": sr, "hr": hr})["psnr_y_db"] < 40


def test_nearer_images_measure_better(hr: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(0, 1, hr.shape)
    near, far = (np.clip(hr + sigma * noise, 0, 255).astype(np.uint8) for sigma in (3, 12))
    measure = Measure(border=0)
    for name, value in measure({"sr": near, "hr": hr}).items():
        assert value > measure({"sr": far, "hr": hr})[name]


def test_images_of_different_sizes_are_refused(hr: np.ndarray) -> None:
    with pytest.raises(ImageError):
        Measure(border=0)({"sr": hr[1:], "hr": hr})


def test_it_can_be_sent_to_workers(hr: np.ndarray) -> None:
    import pickle

    pair = {"sr": np.roll(hr, 1, axis=0), "hr": hr}
    assert pickle.loads(pickle.dumps(Measure(border=2)))(pair) == Measure(border=2)(pair)


def test_bands_are_measured_one_by_one_in_network_units() -> None:
    hr = np.zeros((32, 32, 2), np.float32)
    sr = hr + np.array([0.02, 0.2], np.float32)
    measured = MeasureBands(4, ("B04", "B08"))({"sr": sr, "hr": hr})
    assert measured["psnr_b04_db"] == pytest.approx(40, abs=1e-4)
    assert measured["psnr_b08_db"] == pytest.approx(20, abs=1e-4)
    assert measured["psnr_bands_db"] == pytest.approx(30, abs=1e-4)
    assert "psnr_y_db" not in measured


def test_bands_beyond_the_display_range_are_not_clipped() -> None:
    hr = np.full((32, 32, 1), 4.0, np.float32)
    assert MeasureBands(0, ("B02",))({"sr": hr - 0.2, "hr": hr})["psnr_bands_db"] == pytest.approx(20, abs=1e-4)
    assert MeasureBands(0, ("B02",))({"sr": hr, "hr": hr})["ssim_bands"] == 1

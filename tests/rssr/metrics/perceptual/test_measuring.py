"""Random weights in the published layouts stand for the published ones."""

from functools import cache
from pathlib import Path

import lpips
import numpy as np
import pytest
import torch

from rssr.errors import ConfigError, ImageError
from rssr.metrics import metric_spec
from rssr.metrics.perceptual import PerceptualMetric, load_metric
from rssr.metrics.weight_files import ALEXNET
from rssr.scenes import generate_scene
from tests.rssr.metrics.published_weights import write_pristine, write_weights

COMPARING = ("lpips", "dists")
ALONE = ("maniqa", "musiq", "niqe", "clipiqa")


class Loaded:
    """Metrics by name, each built and loaded once; their files, which are large, are not kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.metric = cache(self._load)

    def _load(self, name: str) -> PerceptualMetric:
        write_weights(name, self._folder)
        metric = load_metric(name, self._folder)
        for file in metric.spec.weights:
            (self._folder / file).unlink()
        if name == "maniqa":
            metric.network.test_sample = 1  # of 20 crops, which would take a minute
        return metric


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return Loaded(tmp_path_factory.mktemp("weights"))


def pictures(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A picture of the smallest size that the metric takes, and a noisy one."""
    side = metric_spec(name).smallest_side
    hr = generate_scene(1, side, side)
    sr = np.clip(hr + np.random.default_rng(0).normal(0, 20, hr.shape), 0, 255).astype(np.uint8)
    return sr, hr


@pytest.mark.parametrize("name", (*COMPARING, *ALONE))
def test_values_lie_within_the_stated_range_and_are_the_same_every_time(loaded: Loaded, name: str) -> None:
    metric = loaded.metric(name)
    sr, hr = pictures(name)
    value = metric(sr, hr)
    low, high = metric.spec.value_range
    assert low <= value <= high
    if name != "maniqa":  # a second pass takes seconds
        assert metric(sr, hr) == value
    if name in ALONE:
        assert metric(sr) == value


@pytest.mark.parametrize("name", COMPARING)
def test_a_picture_is_at_no_distance_from_itself(loaded: Loaded, name: str) -> None:
    metric = loaded.metric(name)
    sr, hr = pictures(name)
    assert metric(hr, hr) == pytest.approx(0, abs=1e-5)
    assert metric(sr, hr) > 1e-3


@pytest.mark.parametrize("name", COMPARING)
def test_a_border_is_left_out_when_asked_for(loaded: Loaded, name: str) -> None:
    metric = loaded.metric(name)
    side = metric.spec.smallest_side + 8
    hr = generate_scene(1, side, side)
    spoilt = hr.copy()
    spoilt[:4] = 255
    assert metric(spoilt, hr, border=4) == pytest.approx(0, abs=1e-5)
    assert metric(spoilt, hr) > 1e-3


def test_lpips_agrees_with_its_authors(tmp_path: Path) -> None:
    write_weights("lpips", tmp_path)
    theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    backbone = torch.load(tmp_path / ALEXNET.name, weights_only=True)
    for name, value in theirs.net.named_parameters():
        value.data.copy_(backbone["features." + name.partition(".")[2]])
    sr, hr = generate_scene(1, 48, 65), generate_scene(2, 48, 65)
    images = (torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 127.5 - 1 for picture in (sr, hr))
    with torch.no_grad():
        expected = theirs(*images).item()
    assert load_metric("lpips", tmp_path)(sr, hr) == pytest.approx(expected, rel=1e-4)


def test_niqe_grows_with_the_distance_from_pristine_images(tmp_path: Path) -> None:
    picture = generate_scene(1, 192, 200)
    values = []
    for mean in (1.0, 5.0, 50.0):
        write_pristine(tmp_path, mean)
        values.append(load_metric("niqe", tmp_path)(picture))
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_a_picture_of_one_colour_has_no_niqe(loaded: Loaded) -> None:
    with pytest.raises(ImageError, match="has no NIQE"):
        loaded.metric("niqe")(np.full((192, 192, 3), 90, np.uint8))


@pytest.mark.parametrize("name", COMPARING)
def test_pictures_that_do_not_match_are_refused(loaded: Loaded, name: str) -> None:
    metric = loaded.metric(name)
    sr, hr = pictures(name)
    with pytest.raises(ImageError, match="ground truth"):
        metric(sr[:-1], hr)
    with pytest.raises(ValueError, match="HR image"):
        metric(sr)


@pytest.mark.parametrize("name", ("lpips", "dists", "niqe"))
def test_pictures_that_are_too_small_are_refused(loaded: Loaded, name: str) -> None:
    metric = loaded.metric(name)
    sr, hr = pictures(name)
    with pytest.raises(ImageError, match=f"At least {metric.spec.smallest_side}x"):
        metric(sr[:, 1:], hr[:, 1:])


@pytest.mark.parametrize("name", ("psnr_y", "fid", "kid"))
def test_metrics_of_other_kinds_are_not_loaded_so(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_metric(name)

"""Random weights in the published layout stand for the published ones."""

from pathlib import Path

import numpy as np
import pyiqa.archs.inception
import pytest
import torch
from PIL import Image
from pyiqa.archs.fid_arch import get_folder_features

from rssr.errors import ImageError, WeightsError
from rssr.metrics.inception import NUM_FEATURES, InceptionFeatures, load_inception
from rssr.metrics.weight_files import INCEPTION
from rssr.scenes import generate_scene
from tests.rssr.metrics.published_weights import write_weights

PICTURES = [
    generate_scene(seed, height, width) for seed, (height, width) in enumerate([(64, 64), (37, 80), (320, 310)])
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inception")
    write_weights("fid", folder)
    return folder


@pytest.fixture(scope="module")
def features(weights: Path) -> InceptionFeatures:
    return load_inception(weights)


def test_features_agree_with_those_of_pyiqa(
    weights: Path, features: InceptionFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = torch.load(weights / INCEPTION.name, weights_only=True)
    monkeypatch.setattr(pyiqa.archs.inception, "load_pretrained_network", lambda net, _: net.load_state_dict(state))
    for number, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    network = pyiqa.archs.inception.InceptionV3([3]).eval()
    expected = get_folder_features(tmp_path, network, num_workers=0, device=torch.device("cpu"), verbose=False)
    found = np.stack([features(picture) for picture in PICTURES])
    assert found.dtype == np.float32
    assert found.shape == (len(PICTURES), NUM_FEATURES)
    assert found.std() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(features(PICTURES[0]), found[0])


@pytest.mark.parametrize("picture", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_what_is_no_picture_is_refused(features: InceptionFeatures, picture: np.ndarray) -> None:
    with pytest.raises(ImageError, match="uint8"):
        features(picture)


def test_missing_weights_are_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=INCEPTION.name):
        load_inception(tmp_path)

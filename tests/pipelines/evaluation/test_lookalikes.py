"""The same place in two datasets is found though no byte is the same."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets.manifest import Manifest
from pipelines.evaluation.learnt import learnt_images
from pipelines.evaluation.lookalikes import find_lookalikes
from pipelines.evaluation.result import SharedImage
from pipelines.evaluation.safety import check_splits
from pipelines.storage import open_store
from tests.pipelines.evaluation.trained_methods import again, google, make_dataset, make_method


@pytest.fixture
def aid(tmp_path: Path) -> Manifest:
    """As AID is: larger, JPEG; three images for training."""
    files = {f"Airport/airport_{n}.jpg": again(google(n, 150), quality=95) for n in range(5)}
    return make_dataset(tmp_path / "AID", files, num_train=3)


@pytest.fixture
def nwpu(tmp_path: Path) -> Manifest:
    """As NWPU-RESISC45 is: smaller, JPEG of less quality. Two images are of AID's places, one of which it trains on."""
    files = {
        "airport/airport_001.jpg": again(google(1, 150), side=64, quality=75),
        "airport/airport_002.jpg": again(np.rot90(google(4, 150)), quality=60),
        "airport/airport_003.jpg": again(google(30, 64), quality=75),
    }
    return make_dataset(tmp_path / "NWPU", files)


def distances(shared: tuple[SharedImage, ...]) -> list[int | None]:
    return [one.distance for one in shared]


def test_two_datasets_of_a_run_are_compared(aid: Manifest, nwpu: Manifest, tmp_path: Path) -> None:
    found = find_lookalikes([], {"AID": aid, "NWPU": nwpu}, open_store(str(tmp_path / "home")))
    assert [(one.dataset, one.key, one.method, one.other) for one in found.shared] == [
        ("AID", "Airport/airport_1.jpg", "", "NWPU: airport/airport_001.jpg"),
        ("AID", "Airport/airport_4.jpg", "", "NWPU: airport/airport_002.jpg"),
    ]
    assert all(distance is not None and distance <= 11 for distance in distances(found.shared))
    assert found.notices == ()


def test_the_same_bytes_in_two_datasets_have_no_distance(aid: Manifest, tmp_path: Path) -> None:
    twin = make_dataset(tmp_path / "twin", {"x.jpg": (tmp_path / "AID" / aid.records[0].key).read_bytes()})
    found = find_lookalikes([], {"AID": aid, "twin": twin}, open_store(str(tmp_path / "home")))
    assert distances(found.shared) == [None]


def test_what_resembles_training_images_is_reported_and_measured(aid: Manifest, nwpu: Manifest, tmp_path: Path) -> None:
    method = make_method(tmp_path / "models", "mine", aid, "manifest")
    found = check_splits([method], {"NWPU": nwpu}, (), open_store(str(tmp_path / "home")))
    assert [(one.dataset, one.key, one.method, one.other) for one in found.shared] == [
        ("NWPU", "airport/airport_001.jpg", "mine", "Airport/airport_1.jpg")
    ], "held-out images of the training are none that it has learnt from"


def test_an_image_is_told_once_with_the_nearest(tmp_path: Path) -> None:
    place = google(1, 150)
    files = {
        "a.jpg": again(place, quality=30),
        "b.jpg": again(place, quality=95),
        "c.jpg": again(place, side=50, quality=20),
    }
    method = make_method(tmp_path / "models", "mine", make_dataset(tmp_path / "AID", files, 3), "manifest")
    dataset = make_dataset(tmp_path / "NWPU", {"x.png": again(place)})
    found = check_splits([method], {"NWPU": dataset}, (), open_store(str(tmp_path / "home")))
    assert [one.key for one in found.shared] == ["x.png"]
    assert found.shared[0].other != "c.jpg"


def test_training_images_themselves_are_told_as_such_and_not_as_alike(aid: Manifest, tmp_path: Path) -> None:
    method = make_method(tmp_path / "models", "mine", aid, "manifest")
    found = check_splits([method], {"AID": aid}, ["mine"], open_store(str(tmp_path / "home")))
    assert distances(found.shared) == [None] * 3


def test_training_images_that_are_gone_are_said(aid: Manifest, nwpu: Manifest, tmp_path: Path) -> None:
    method = make_method(tmp_path / "models", "mine", aid, "manifest")
    shutil.rmtree(tmp_path / "AID")
    found = find_lookalikes([learnt_images(method)], {"NWPU": nwpu}, open_store(str(tmp_path / "home")))
    assert found.shared == ()
    assert any("3 of the 3 images that mine was trained on could not be compared" in note for note in found.notices)


def test_methods_of_one_training_share_its_fingerprints(aid: Manifest, nwpu: Manifest, tmp_path: Path) -> None:
    methods = [make_method(tmp_path / "models", name, aid, "manifest") for name in ("one", "two")]
    found = check_splits(methods, {"NWPU": nwpu}, (), open_store(str(tmp_path / "home")))
    assert [one.method for one in found.shared] == ["one", "two"]
    assert len(list((tmp_path / "home" / "fingerprints").iterdir())) == 2

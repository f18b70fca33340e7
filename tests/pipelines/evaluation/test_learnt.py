from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.datasets.manifest import Manifest, write_manifest
from pipelines.evaluation.learnt import learnt_images
from pipelines.storage import open_store
from rssr.errors import ModelError
from tests.pipelines.evaluation.trained_methods import again, google, make_dataset, make_method


@pytest.fixture
def aid(tmp_path: Path) -> Manifest:
    """Six images, four of them for training."""
    return make_dataset(tmp_path / "AID", {f"{n}.png": again(google(n)) for n in range(6)}, num_train=4)


@pytest.mark.parametrize("told", ["list", "manifest"])
def test_every_training_image_is_known_by_list_or_by_manifest(told: str, aid: Manifest, tmp_path: Path) -> None:
    learnt = learnt_images(make_method(tmp_path / "models", "m", aid, told))
    assert learnt.seen_of(aid.records) == aid.split("train")
    assert learnt.gap == ""
    assert len(learnt.manifests) == (told == "manifest")
    assert learnt.keys == ({r.sha256: r.key for r in aid.split("train")} if told == "manifest" else {})


def test_of_a_digest_alone_the_whole_set_is_recognised_and_a_part_of_it_is_not(aid: Manifest, tmp_path: Path) -> None:
    learnt = learnt_images(make_method(tmp_path / "models", "m", aid, "digest"))
    train = aid.split("train")
    assert learnt.seen_of(train[::-1]) == train[::-1]
    assert learnt.seen_of((*train, train[0])) == (*train, train[0]), "each content once"
    assert learnt.seen_of(train[:3]) == ()
    assert "only the digest" in learnt.gap
    assert "cannot be opened" in learnt.gap


def test_of_a_digest_and_a_manifest_single_images_are_recognised(aid: Manifest, tmp_path: Path) -> None:
    method = make_method(tmp_path / "models", "m", aid, "digest")
    write_manifest(aid, open_store(str(tmp_path / "models")), "manifest-m")
    learnt = learnt_images(method)
    assert learnt.seen_of(aid.records[:2]) == aid.records[:2]
    assert learnt.gap == ""


def test_a_manifest_that_is_another_by_now_is_not_believed(aid: Manifest, tmp_path: Path) -> None:
    method = make_method(tmp_path / "models", "m", aid, "manifest")
    other = replace(aid, records=aid.records[:3])
    write_manifest(other, open_store(str(tmp_path / "models")), "manifest-m")
    learnt = learnt_images(method)
    assert learnt.seen_of(aid.records) == ()
    assert "manifest-m cannot be opened here" in learnt.gap


@pytest.mark.parametrize(("told", "why"), [("no card", "has no card"), ("nothing", "does not list them")])
def test_what_is_not_told_is_not_known(told: str, why: str, aid: Manifest, tmp_path: Path) -> None:
    learnt = learnt_images(make_method(tmp_path / "models", "m", aid, told))
    assert learnt.seen_of(aid.records) == ()
    assert why in learnt.gap


def test_a_list_that_is_not_in_the_model_folder_is_an_error(aid: Manifest, tmp_path: Path) -> None:
    method = make_method(tmp_path / "models", "m", aid)
    (method.folder / "training_images.txt").unlink()
    with pytest.raises(ModelError, match=r"training_images\.txt"):
        learnt_images(method)

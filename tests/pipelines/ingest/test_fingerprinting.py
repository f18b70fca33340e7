from pathlib import Path

import pytest

from pipelines.datasets.manifest import Manifest
from pipelines.ingest import run_ingest
from pipelines.ingest.config import DuplicatesConfig
from pipelines.ingest.duplicates import find_between
from pipelines.ingest.fingerprinting import collect_images
from pipelines.storage import open_store
from tests.pipelines.evaluation.trained_methods import again, google, make_dataset
from tests.pipelines.ingest.test_duplicates import Configure


@pytest.fixture
def images(tmp_path: Path) -> Manifest:
    return make_dataset(tmp_path / "raw", {f"a/{n}.png": again(google(n)) for n in range(4)})


def marks(manifest: Manifest, home: Path) -> list[int | None]:
    found = collect_images("it", manifest.records, manifest.sources, open_store(str(home)))
    return found.fingerprints.column("phash").to_pylist()  # type: ignore[no-any-return]


def test_images_have_the_fingerprints_that_ingesting_them_gives(
    images: Manifest, configure: Configure, tmp_path: Path
) -> None:
    shards = tmp_path / "shards"
    run_ingest(configure(input={"uri": str(tmp_path / "raw")}))
    of_shards = Manifest((str(shards),), images.records)
    (tmp_path / "raw").rename(tmp_path / "moved")
    known = marks(of_shards, tmp_path / "home")
    (tmp_path / "moved").rename(tmp_path / "raw")
    assert None not in known
    assert marks(images, tmp_path / "other home") == known


def test_fingerprints_are_kept_and_damaged_ones_made_again(images: Manifest, tmp_path: Path) -> None:
    first = marks(images, tmp_path / "home")
    (tmp_path / "raw").rename(tmp_path / "moved")
    assert marks(images, tmp_path / "home") == first, "no image is read"
    (tmp_path / "moved").rename(tmp_path / "raw")
    [kept] = (tmp_path / "home" / "fingerprints").iterdir()
    kept.write_bytes(kept.read_bytes()[:-20])
    assert marks(images, tmp_path / "home") == first


def test_an_image_that_is_gone_changed_or_unreadable_has_none(images: Manifest, tmp_path: Path) -> None:
    raw = tmp_path / "raw" / "a"
    (raw / "0.png").unlink()
    (raw / "1.png").write_bytes((raw / "2.png").read_bytes())
    assert [mark is None for mark in marks(images, tmp_path / "home")] == [True, True, False, False]


def test_pairs_are_those_between_the_collections_alone(images: Manifest, tmp_path: Path) -> None:
    twice = {"x.png": again(google(1)), "y.jpg": again(google(1), quality=80), "z.jpg": again(google(2), quality=80)}
    other = make_dataset(tmp_path / "other", twice)
    home = open_store(str(tmp_path / "home"))
    one, two = (collect_images("it", data.records, data.sources, home) for data in (images, other))
    pairs = find_between(two, one, DuplicatesConfig())
    assert [(pair.kind, pair.key, pair.other_key) for pair in pairs] == [
        ("exact", "x.png", "a/1.png"),
        ("near", "y.jpg", "a/1.png"),
        ("near", "z.jpg", "a/2.png"),
    ]

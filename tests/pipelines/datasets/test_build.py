"""How a folder becomes a manifest, and what happens to bad input."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.datasets import DataConfig, Manifest, build_manifest, load_or_build_manifest
from pipelines.datasets.sample import resolve_uris
from pipelines.storage import open_store
from rssr.errors import DataError, ExitCode

MakeImage = Callable[..., Path]


def build(*folders: Path | str, seed: int = 1, **settings: Any) -> Manifest:  # configuration keys
    return build_manifest([str(folder) for folder in folders], _config(**settings), seed)


def _config(**settings: Any) -> DataConfig:  # configuration keys
    return DataConfig.model_validate({"scale": 2, "degradation": "bicubic", **settings})


def test_records_say_what_the_files_hold(dataset: Path) -> None:
    manifest = build(dataset)
    assert len(manifest.records) == 30
    assert manifest.skipped == ()
    assert [record.key for record in manifest.records] == sorted(record.key for record in manifest.records)
    for record in manifest.records:
        path = dataset / record.key
        assert record.class_name == path.parent.name
        assert record.num_bytes == path.stat().st_size
        assert (record.width, record.height) == Image.open(path).size
        assert len(record.sha256) == 64


def test_same_images_and_seed_give_the_same_manifest(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "elsewhere")
    first, again, moved = build(dataset), build(dataset), build(tmp_path / "elsewhere", num_workers=1)
    assert first == again
    assert moved.digest == first.digest
    assert moved.records == first.records
    assert build(dataset, seed=2).digest != first.digest


@pytest.mark.parametrize(("num_test", "expected"), [(15, (8, 4, 3)), (3, (2, 1, 0)), (1, (1, 0, 0)), (0, (0, 0, 0))])
def test_split_is_stratified_and_exact(dataset: Path, num_test: int, expected: tuple[int, ...]) -> None:
    counts = Counter(record.class_name for record in build(dataset, num_test=num_test).split("test"))
    assert sum(counts.values()) == num_test
    assert tuple(counts[name] for name in ("farm", "harbour", "river")) == expected


@pytest.mark.parametrize(("fraction", "expected"), [(0.1, 3), (0.001, 1), (0.0, 0)])
def test_fraction_holds_out_at_least_one(dataset: Path, fraction: float, expected: int) -> None:
    assert len(build(dataset, test_fraction=fraction).split("test")) == expected


def test_new_images_leave_old_ones_in_their_split(dataset: Path, make_image: MakeImage) -> None:
    before = {record.key for record in build(dataset, num_test=8).split("test")}
    make_image("desert/desert_000.png")
    after = {record.key for record in build(dataset, num_test=9).split("test")}
    assert len(before - after) <= 1


def test_duplicates_share_a_split(dataset: Path) -> None:
    for index in range(16):  # each farm again under another name and class
        ending = "jpg" if index % 2 else "png"
        shutil.copy(dataset / "farm" / f"farm_{index:03d}.{ending}", dataset / "river" / f"copy_{index:03d}.{ending}")
    for seed in range(5):
        manifest = build(dataset, num_test=12, seed=seed)
        test, train = ({record.sha256 for record in manifest.split(name)} for name in ("test", "train"))
        assert not test & train
        assert len(test) == 12
        assert len(manifest.records) == 46


def test_another_dataset_for_tests(dataset: Path, tmp_path: Path, make_image: MakeImage) -> None:
    make_image("../other/one.png")
    make_image("../other/two.png")
    shutil.copy(dataset / "farm" / "farm_000.png", tmp_path / "other" / "leaked.png")
    manifest = build(dataset, test_uri=str(tmp_path / "other"))
    assert {record.source for record in manifest.split("train")} == {0}
    held_out = {(record.source, record.key) for record in manifest.split("test")}
    assert held_out == {(1, "one.png"), (1, "two.png"), (1, "leaked.png"), (0, "farm/farm_000.png")}


def test_images_at_any_depth_and_without_class(tmp_path: Path, make_image: MakeImage) -> None:
    make_image("top.PNG")
    make_image("a/b/c/deep.png")
    make_image(".hidden/x.png")
    make_image("__MACOSX/a/y.png")
    (tmp_path / "data" / "a" / "notes.txt").write_text("not an image")
    (tmp_path / "data" / "._top.png").write_bytes(b"resource fork")
    manifest = build(tmp_path / "data", num_test=0)
    assert [(record.key, record.class_name) for record in manifest.records] == [
        ("a/b/c/deep.png", "c"),
        ("top.PNG", None),
    ]


def test_bad_images_are_skipped_with_reasons(dataset: Path) -> None:
    (dataset / "farm" / "empty.jpg").write_bytes(b"")
    (dataset / "farm" / "text.png").write_bytes(b"<html>404</html>")
    whole = (dataset / "river" / "river_001.jpg").read_bytes()
    (dataset / "river" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    manifest = build(dataset, max_corrupt_fraction=0.2)
    reasons = {item.key: item.reason for item in manifest.skipped}
    assert sorted(reasons) == ["farm/empty.jpg", "farm/text.png", "river/cut.jpg"]
    assert all(key in reason for key, reason in reasons.items())
    assert "empty" in reasons["farm/empty.jpg"]
    assert len(manifest.records) == 30


def test_too_many_bad_images_are_an_error(dataset: Path) -> None:
    for index in range(4):
        (dataset / "farm" / f"bad_{index}.jpg").write_bytes(b"bad")
    with pytest.raises(DataError, match=r"4 of 34 images .*max_corrupt_fraction") as caught:
        build(dataset)
    assert "bad_0.jpg" in str(caught.value)
    assert caught.value.exit_code is ExitCode.BAD_INPUT


def test_conversions_are_counted(dataset: Path) -> None:
    gray = np.arange(1600, dtype=np.uint16).astype(np.uint8).reshape(40, 40)
    Image.fromarray(gray).save(dataset / "farm" / "gray.png")
    Image.fromarray(gray.T.copy()).save(dataset / "farm" / "gray2.png")
    assert build(dataset).conversions == {"gray-to-rgb": 2}


def test_small_images_serve_tests_but_not_training(dataset: Path, make_image: MakeImage) -> None:
    make_image("small/a.png", 24, 60)
    make_image("small/b.png", 60, 24)
    make_image("tiny/c.png", 15, 60)
    manifest = build(dataset, patch_size=32, num_test=16)
    assert {record.key for record in manifest.records if record.side < 32} <= {
        record.key for record in manifest.split("test")
    }
    reasons = {item.key: item.reason for item in manifest.skipped}
    assert "15x60" in reasons["tiny/c.png"]
    assert all("32" in reason for key, reason in reasons.items() if key.startswith("small/"))
    assert len(manifest.records) + len(manifest.skipped) == 33


def test_nothing_large_enough_is_an_error(dataset: Path) -> None:
    with pytest.raises(DataError, match=r"can be used.*41"):
        build(dataset, patch_size=41)
    with pytest.raises(DataError, match=r"farm_000"):
        build(dataset, scale=16, num_test=0)


def test_nothing_readable_is_an_error_with_reasons(dataset: Path) -> None:
    for path in dataset.glob("*/*.*"):
        path.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"can be used.*farm_000"):
        build(dataset, max_corrupt_fraction=1.0)


def test_patches_larger_than_the_images_are_an_error(dataset: Path) -> None:
    manifest = build(dataset)
    assert len(manifest.training_images(40)) == len(manifest.split("train"))
    with pytest.raises(DataError, match="patch of 41 pixels; the largest measures 40"):
        manifest.training_images(41)
    with pytest.raises(DataError, match="num_test"):
        build(dataset, num_test=0).test_images()


def test_holding_out_everything_is_an_error(dataset: Path) -> None:
    with pytest.raises(DataError, match="leaves none to train on"):
        build(dataset, num_test=30)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing does not exist.*data\.uri"):
        build(tmp_path / "missing")


def test_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty is empty"):
        build(tmp_path / "empty")


def test_folder_without_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "readme.txt").write_text("hello")
    with pytest.raises(DataError, match="None of the 1 files"):
        build(tmp_path / "data")


def test_a_file_instead_of_a_folder_is_named(make_image: MakeImage) -> None:
    path = make_image("one.png")
    with pytest.raises(DataError, match="is a file"):
        build(path)


def test_links_that_lead_nowhere_are_no_images(dataset: Path) -> None:
    (dataset / "loop.png").symlink_to(dataset / "loop.png")
    (dataset / "gone.png").symlink_to(dataset / "nowhere.png")
    assert len(build(dataset).records) == 30


def test_progress_counts_to_the_end(dataset: Path) -> None:
    seen: list[tuple[int, int]] = []
    build_manifest([str(dataset)], _config(), 0, lambda done, total: seen.append((done, total)))
    assert seen == [(done, 30) for done in range(1, 31)]


def test_manifest_is_reused_until_something_changes(dataset: Path, tmp_path: Path, make_image: MakeImage) -> None:
    store = open_store(str(tmp_path / "home"))
    num_read: list[int] = []

    def load(seed: int = 1, **settings: Any) -> Manifest:  # configuration keys
        num_read.clear()
        done = lambda done, total: num_read.append(done)  # noqa: E731  # one line says it
        return load_or_build_manifest(store, "manifest", [str(dataset)], _config(**settings), seed, done)

    first = load()
    assert len(num_read) == 30
    assert load(num_workers=2, degradation="slimdiffsr") == first
    assert num_read == [], "settings that do not bear on the manifest do not rebuild it"
    load(num_test=5)
    assert len(num_read) == 30
    load(num_test=5, seed=2)
    assert len(num_read) == 30
    make_image("farm/farm_000.png", seed=9)
    changed = load(num_test=5, seed=2)
    assert len(num_read) == 30
    assert changed.digest != first.digest


def test_damaged_manifest_is_made_again(dataset: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "home"))
    first = load_or_build_manifest(store, "manifest", [str(dataset)], _config(), 1)
    store.write_bytes("manifest/manifest.json", b"{")
    assert load_or_build_manifest(store, "manifest", [str(dataset)], _config(), 1) == first


def test_s3_gives_the_same_manifest_as_local(
    dataset: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = request.getfixturevalue("s3_server")
    server.use(monkeypatch)
    uri = f"{server.make_bucket()}/datasets/mine"
    open_store(uri).upload_folder(dataset, "")
    remote, local = build(uri), build(dataset)
    assert remote.records == local.records
    assert remote.digest == local.digest
    assert remote.sources == (uri,)
    with pytest.raises(DataError, match="holds nothing"):
        build(f"{uri}/none")


def test_sample_needs_no_download(tmp_path: Path) -> None:
    home = open_store(str(tmp_path / "home"))
    config = _config(sample={"num_images": 4, "size": 48})
    uris = resolve_uris(config, home)
    manifest = build_manifest(uris, config, 0)
    assert len(manifest.records) == 4
    before = open_store(uris[0]).list()
    assert resolve_uris(config, home) == uris
    assert open_store(uris[0]).list() == before, "it is made once"

"""Images are found the same wherever they lie and however they are packed."""

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.datasets import DataConfig, Manifest, build_manifest
from pipelines.stages.read import ReadPatches
from pipelines.storage import open_store
from rssr.errors import DataError, StorageError
from tests.web import web_server

FORMATS = {"zip": "zip", "tar": "tar", "tar.gz": "gztar"}


def build(*uris: str, **settings: Any) -> Manifest:  # configuration keys
    values = {"scale": 2, "degradation": "bicubic", **settings}
    return build_manifest(uris, DataConfig.model_validate(values), 1)


def packed(dataset: Path, ending: str) -> Path:
    return Path(shutil.make_archive(str(dataset.parent / "packed"), FORMATS[ending], dataset))


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("place", ["local", "s3", "web"])
def test_an_archive_gives_the_manifest_of_its_folder(
    dataset: Path, ending: str, place: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(dataset, ending)
    folder = build(str(dataset))
    if place == "local":
        _compare(build(str(archive)), folder, str(archive))
    elif place == "s3":
        server = request.getfixturevalue("s3_server")
        server.use(monkeypatch)
        uri = server.make_bucket()
        open_store(uri).upload_file(archive, archive.name)
        _compare(build(f"{uri}/{archive.name}"), folder, f"{uri}/{archive.name}")
    else:
        with web_server(archive.parent) as server:
            _compare(build(f"{server.uri}/{archive.name}"), folder, f"{server.uri}/{archive.name}")


def _compare(manifest: Manifest, folder: Manifest, uri: str) -> None:
    assert (manifest.digest, manifest.records, manifest.sources) == (folder.digest, folder.records, (uri,))
    ours, theirs = (ReadPatches(found.records, found.sources, 16) for found in (manifest, folder))
    for number in (0, 7, 29):
        assert np.array_equal(ours.read_image(number), theirs.read_image(number))


def test_a_folder_of_an_archive_is_a_location(dataset: Path) -> None:
    manifest = build(f"{packed(dataset, 'zip')}!/river")
    assert len(manifest.records) == 6
    assert manifest.sources[0].endswith("packed.zip!/river")
    assert ReadPatches(manifest.records, manifest.sources, 16).read_image(0).shape == (40, 40, 3)


def test_images_of_a_list_on_the_web(dataset: Path) -> None:
    keys = sorted(path.relative_to(dataset).as_posix() for path in dataset.glob("river/*"))
    (dataset / "files.txt").write_text("\n".join(keys))
    with web_server(dataset) as server:
        manifest = build(f"{server.uri}/files.txt")
        assert [(record.key, record.class_name) for record in manifest.records] == [(key, "river") for key in keys]
        with pytest.raises(StorageError, match=r"cannot be listed.*files\.txt"):
            build(server.uri)


def test_a_damaged_member_is_listed_with_its_reason(dataset: Path) -> None:
    archive = packed(dataset, "zip")
    with zipfile.ZipFile(archive) as table:
        entry = table.getinfo("river/river_003.jpg")
    data = bytearray(archive.read_bytes())
    data[entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2] ^= 0xFF
    archive.write_bytes(data)
    manifest = build(str(archive), max_corrupt_fraction=0.1)
    assert len(manifest.records) == 29
    assert [item.key for item in manifest.skipped] == ["river/river_003.jpg"]
    assert "packed.zip!/river/river_003.jpg" in manifest.skipped[0].reason


def test_a_folder_of_archives_is_told(tmp_path: Path, dataset: Path) -> None:
    (tmp_path / "parts").mkdir()
    for number in (1, 2):
        shutil.copy(packed(dataset, "zip"), tmp_path / "parts" / f"part{number}.zip")
    with pytest.raises(
        DataError, match=r"holds no images, but 2 archives: part1\.zip, part2\.zip.*data\.uri=\["
    ) as told:
        build(str(tmp_path / "parts"))
    assert str(tmp_path / "parts" / "part1.zip") in told.value.remedy


def test_parts_of_a_dataset_are_given_one_after_another(tmp_path: Path, make_image: Any) -> None:
    for number in (1, 2):
        make_image(f"part{number}/images/P000{number}.png")
        shutil.make_archive(str(tmp_path / f"part{number}"), "zip", tmp_path / "data" / f"part{number}")
    manifest = build(*(str(tmp_path / f"part{number}.zip") for number in (1, 2)), layout="dota", num_test=1)
    assert [(record.source, record.key) for record in manifest.records] == [
        (0, "images/P0001.png"),
        (1, "images/P0002.png"),
    ]


def test_images_that_a_layout_tells_apart_from_its_other_files(tmp_path: Path, make_image: Any) -> None:
    for key in ("JPEGImages-trainval/00001.jpg", "JPEGImages-trainval/00002.jpg", "JPEGImages-test/11726.jpg"):
        make_image(f"DIOR/{key}")
    lists = tmp_path / "data" / "DIOR" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("00001\n")
    (lists / "val.txt").write_text("00002\n")
    manifest = build(str(tmp_path / "data"), official_split=True)
    assert {record.key[-9:]: record.split for record in manifest.records} == {"00001.jpg": "train", "11726.jpg": "test"}
    assert [item.key for item in manifest.skipped] == ["DIOR/JPEGImages-trainval/00002.jpg"]


def test_a_name_that_is_no_text_is_listed(dataset: Path) -> None:
    shutil.copy(dataset / "river" / "river_000.png", os.fsdecode(os.fsencode(dataset) + b"/river/\xff\xfe.png"))
    manifest = build(str(dataset), max_corrupt_fraction=0)
    assert len(manifest.records) == 30
    assert manifest.skipped[0].reason == r"'river/\udcff\udcfe.png' has a name that is not UTF-8."
    assert manifest.skipped[0].reason.encode()

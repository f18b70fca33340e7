"""Every kind of input is found, named and told apart, locally and on S3."""

import os
from pathlib import Path

import pytest

from pipelines.bulk.inputs.find import find_scenes
from pipelines.bulk.planning.plan_files import write_plan
from pipelines.bulk.records import InputScene, PlannedScene
from pipelines.storage import open_store
from rssr.errors import ConfigError, DataError, UserError
from tests.pipelines.bulk.imagery import Place, as_json, item, jpg, png, tif, zipped
from tests.pipelines.storage.packing import packed
from tests.sentinel2_products import FOUR, imagined_numbers, write_cog, write_item, write_safe

TINY = imagined_numbers((64, 64))


def kinds(scenes: list[InputScene]) -> dict[str, str]:
    return {scene.name: scene.kind for scene in scenes}


def test_a_prefix_of_everything_gives_each_scene_once(place: Place, tmp_path: Path) -> None:
    place.put("2021/T32.tif", tif())
    place.put("2021/deep/er/photo.PNG", png())
    place.put("maps/tile.jp2", tif())
    place.put("notes.xml", b"<none/>")
    place.put("readme.txt", b"none either")
    place.put("packed.zip", zipped({"a/one.jpg": jpg(), "two.tif": tif(), "list.csv": b"1,2"}))
    place.put("old.tar.gz", packed("tar.gz", {"three.png": png()}))
    safe = write_safe(tmp_path / "made", TINY)
    place.put_folder(safe, f"products/{safe.name}")
    (tmp_path / "item").mkdir()
    write_item(tmp_path / "item", TINY, {"scale": 0.0001, "offset": -0.1})
    place.put_folder(tmp_path / "item", "items")
    for band, values in TINY.items():
        write_cog(tmp_path / "bands" / f"S2A_N0509_{band}_10m.tif", values)
    place.put_folder(tmp_path / "bands", "bands")
    assert kinds(place.find()) == {
        "2021/T32": "raster",
        "2021/deep/er/photo": "picture",
        "bands/S2A_N0509_10m": "product",
        "items/item": "product",
        "maps/tile": "raster",
        "old/three": "picture",
        "packed/a/one": "picture",
        "packed/two": "raster",
        f"products/{safe.stem}": "product",
    }


def test_sizes_and_versions_are_those_of_all_objects(place: Place, tmp_path: Path) -> None:
    safe = write_safe(tmp_path / "made", TINY)
    place.put_folder(safe, safe.name)
    place.put("one.tif", tif())
    by_name = {scene.name: scene for scene in place.find()}
    files = [path for path in safe.rglob("*") if path.is_file()]
    assert by_name[safe.stem].num_bytes == sum(path.stat().st_size for path in files)
    assert by_name["one"].num_bytes == len(tif())
    assert by_name["one"].version == place.store.stat("one.tif").version
    place.put(f"{safe.name}/MTD_MSIL2A.xml", b"another")
    assert {scene.name: scene.version for scene in place.find()}[safe.stem] != by_name[safe.stem].version


def test_a_single_file_of_any_name_is_a_scene(place: Place) -> None:
    assert place.names(place.put("a/scene.tif", tif())) == ["scene"]
    assert place.names(place.put("a/photo.jpg", jpg())) == ["photo"]
    assert place.names(place.put("a/no ending", tif())) == ["no ending"]
    assert place.names(place.put("a/one.json", as_json(item("A", {"B04": "red.tif"})))) == ["one"]


def test_a_whole_bucket_is_an_input(bucket: Place) -> None:
    bucket.put("a.tif", tif())
    found = find_scenes([bucket.root, f"{bucket.root}/"], bucket.settings, bucket.output)
    assert [(scene.name, scene.location, scene.key) for scene in found] == [("in/a", bucket.root, "in/a.tif")]


def test_local_inputs_may_be_relative_or_uris(local: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local.put("a.tif", tif())
    monkeypatch.chdir(tmp_path)
    for given in ("in", "in/a.tif", "in/*.tif", (tmp_path / "in").as_uri(), f"{(tmp_path / 'in').as_uri()}/*.tif"):
        assert [scene.uri for scene in local.find(given)] == [str(tmp_path / "in" / "a.tif")]


def test_prefixes_that_are_called_like_files_are_prefixes(bucket: Place) -> None:
    bucket.put("x.tif/a.tif", tif())
    bucket.put("y.zip/b.tif", tif())
    bucket.put("z.txt/c.tif", tif())
    assert bucket.names(f"{bucket.uri}/x.tif") == ["a"]
    for folder, name in (("y.zip", "b"), ("z.txt", "c")):
        (scene,) = bucket.find(f"{bucket.uri}/{folder}/")
        assert scene.name == name
        assert open_store(scene.location, bucket.settings).exists(scene.key)
    assert bucket.names() == ["x%2Etif/a", "y.zip/b", "z.txt/c"]


def test_patterns_take_what_they_say(place: Place) -> None:
    for key in ("a.tif", "a.png", "x/b.tif", "x/y/c.tif", "x/y/c2.tif", ".hidden/d.tif"):
        place.put(key, tif() if key.endswith("tif") else png())
    assert place.names(f"{place.uri}/*.tif") == ["a"]
    assert place.names(f"{place.uri}/**/*.tif") == ["a", "x/b", "x/y/c", "x/y/c2"]
    assert place.names(f"{place.uri}/x/*/c?.tif") == ["y/c2"]
    assert place.names(f"{place.uri}/x/**") == ["b", "y/c", "y/c2"]
    with pytest.raises(DataError, match=r"Nothing below .*/in is called \*\.jp2"):
        place.find(f"{place.uri}/*.jp2")


def test_patterns_name_safe_folders_and_archives(place: Place, tmp_path: Path) -> None:
    safe = write_safe(tmp_path / "made", TINY)
    place.put_folder(safe, f"x/{safe.name}")
    place.put("x/pack.zip", zipped({"one.jpg": jpg()}))
    assert place.names(f"{place.uri}/**/S2A*.SAFE") == [f"x/{safe.stem}"]
    assert place.names(f"{place.uri}/x/*.zip") == ["pack/one"]
    assert place.names(f"{place.uri}/x/pack.zip!/*.jpg") == ["one"]


def test_a_list_names_keys_and_addresses(place: Place) -> None:
    place.put("lists/x/a.tif", tif())
    place.put("lists/.odd", tif())
    elsewhere = place.put("elsewhere/b.png", png())
    text = f"\ufeffx/a.tif\r\n\n.odd\n{elsewhere}\nx/gone.tif\n"
    found = {scene.name: scene for scene in place.find(place.put("lists/all.txt", text.encode()))}
    assert list(found) == [".odd".replace(".", "%2E"), "b", "x/a", "x/gone"]
    assert (found["x/gone"].num_bytes, found["x/gone"].version) == (0, "0")


def test_a_list_may_name_safe_folders_archives_and_items(place: Place, tmp_path: Path) -> None:
    safe = write_safe(tmp_path / "made", TINY)
    place.put_folder(safe, safe.name)
    pack = place.put("pack.zip", zipped({"one.jpg": jpg()}))
    place.put("item.json", as_json(item("A", {"B04": "red.tif"})))
    lines = [safe.name, pack, "item.json", "nothing.SAFE"]
    names = place.names(place.put("all.txt", "\n".join(lines).encode()))
    assert names == sorted([safe.stem, "pack/one", "item", "nothing"])


def test_lines_that_lead_out_are_refused(place: Place) -> None:
    with pytest.raises(UserError, match=r"Line 2 of the list .* is no key") as caught:
        place.find(place.put("all.txt", b"a.tif\n../b.tif\n"))
    assert "without '..'" in str(caught.value)


def test_safe_folders_and_archives_may_be_inputs_themselves(place: Place, tmp_path: Path) -> None:
    safe = write_safe(tmp_path / "made", TINY)
    place.put_folder(safe, f"x/{safe.name}")
    pack = place.put("pack.zip", zipped({"x/one.jpg": jpg(), "y/two.jpg": jpg()}))
    (found,) = place.find(f"{place.uri}/x/{safe.name}")
    assert (found.name, found.key, found.kind) == (safe.stem, "", "product")
    assert found.uri == f"{place.uri}/x/{safe.name}"
    assert place.names(pack) == ["x/one", "y/two"]
    assert place.names(f"{pack}!/y") == ["two"]
    assert place.names(f"{pack}!/x/one.jpg") == ["x/one"]


def test_sentinel2_folders_are_found_in_archives(place: Place, tmp_path: Path) -> None:
    safe = write_safe(tmp_path / "made", TINY)
    files = {f"{safe.name}/{path.relative_to(safe)}": path.read_bytes() for path in safe.rglob("*") if path.is_file()}
    place.put("product.zip", zipped(files))
    assert kinds(place.find()) == {f"product/{safe.stem}": "product"}


def test_the_same_scene_through_several_inputs_is_one(place: Place) -> None:
    single = place.put("x/a.tif", tif())
    place.put("x/b.tif", tif())
    inputs = (place.uri, single, f"{place.uri}/**/*.tif", f"{place.uri}/x/")
    assert place.names(*inputs) == ["x/a", "x/b"]


def test_colliding_scenes_are_all_told_apart_whatever_the_order(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("one/a.tif", tif())
    place.put("one/a.png", png())
    place.put("two/a.tif", tif())
    place.put("two/b.tif", tif())
    inputs = (f"{place.uri}/one", f"{place.uri}/two")
    names = {scene.uri: scene.name for scene in place.find(*inputs)}
    assert names[f"{place.uri}/two/b.tif"] == "b"
    assert len(set(names.values())) == 4
    assert sorted(name[:6] for name in names.values() if name != "b") == ["a_png_", "a_tif_", "a_tif_"]
    turned = find_scenes(inputs[::-1], place.settings, place.output)
    assert {scene.uri: scene.name for scene in turned} == names


def test_scenes_that_were_planned_keep_their_names(local: Place) -> None:
    local.put("a.tif", tif())
    (first,) = local.find()
    assert first.name == "a"
    write_plan(local.output, 0, [PlannedScene(first)])
    local.put("a.png", png())
    found = {scene.key: scene.name for scene in local.find()}
    assert found["a.tif"] == "a"
    assert found["a.png"].startswith("a_png_")
    forgotten = find_scenes([local.uri], None, local.output, fresh=True)
    assert {scene.key: scene.name for scene in forgotten}["a.tif"].startswith("a_tif_")


def test_hidden_things_and_what_runs_keep_for_themselves_are_no_scenes(place: Place) -> None:
    for key in (".cache/a.tif", "x/._b.tif", "__MACOSX/c.tif", "x/_work/d.tif", "_run/e.png", "_marked/f.tif"):
        place.put(key, tif())
    place.put("x/g.tif", tif())
    assert place.names() == ["x/g"]


def test_an_output_below_the_input_is_left_out(place: Place) -> None:
    place.put("a.tif", tif())
    place.put("sr/a.tif", tif())
    place.put("sr2/b.tif", tif())
    found = find_scenes([place.uri], place.settings, open_store(f"{place.uri}/sr", place.settings))
    assert [scene.name for scene in found] == ["a", "sr2/b"]
    found = find_scenes([f"{place.uri}/**/*.tif"], place.settings, open_store(f"{place.uri}/sr", place.settings))
    assert [scene.name for scene in found] == ["a", "sr2/b"]


@pytest.mark.parametrize("given", ["", "/x", "/x/a.tif", "/x/*.tif", "/x/all.txt", "/x/p.zip"])
def test_an_input_that_is_the_output_or_lies_in_it_is_refused(place: Place, given: str) -> None:
    place.put("x/a.tif", tif())
    place.put("x/all.txt", b"a.tif")
    place.put("x/p.zip", zipped({"a.jpg": jpg()}))
    with pytest.raises(ConfigError, match=r"Choose another output"):
        find_scenes([f"{place.uri}{given}"], place.settings, open_store(f"{place.uri}/", place.settings))


def test_a_list_that_names_products_of_the_run_is_refused(local: Place) -> None:
    listed = local.put("all.txt", f"{local.output.uri}/a.tif".encode())
    with pytest.raises(ConfigError, match="lies in the output"):
        local.find(listed)


def test_links_to_the_output_are_seen_through(local: Place, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with pytest.raises(ConfigError, match="is the output itself"):
        local.find(str(tmp_path / "link"))


def test_inputs_without_scenes_say_what_there_is(place: Place) -> None:
    place.put("x/readme.md", b"nothing")
    with pytest.raises(DataError, match=r"None of the 1 files .* 1 \.md.*SAFE folders and STAC items"):
        place.find(f"{place.uri}/x")
    with pytest.raises(DataError, match=r"y does not exist or holds nothing"):
        place.find(f"{place.uri}/y")
    with pytest.raises(DataError, match=r"gone\.tif does not exist"):
        place.find(f"{place.uri}/gone.tif")
    place.put("x/a.tif", tif())
    with pytest.raises(DataError, match=r"y does not exist"):
        place.find(f"{place.uri}/x", f"{place.uri}/y")
    assert DataError("").exit_code == 2


def test_an_empty_folder_is_called_empty(local: Place) -> None:
    with pytest.raises(DataError, match="is empty"):
        local.find()


def test_a_damaged_archive_among_others_is_a_scene_to_be_refused(place: Place) -> None:
    place.put("good.zip", zipped({"a.jpg": jpg()}))
    place.put("bad.zip", zipped({"a.jpg": jpg()})[:-40])
    assert place.names() == ["bad", "good/a"]
    with pytest.raises(UserError, match="damaged"):
        place.find(f"{place.uri}/bad.zip")


def test_names_that_are_no_text_are_refused_with_the_remedy(local: Place, tmp_path: Path) -> None:
    (tmp_path / "in" / os.fsdecode(b"caf\xe9.tif")).write_bytes(tif())
    with pytest.raises(DataError, match=r"1 scenes have names that are not UTF-8: .*caf\\udce9"):
        local.find()


def test_addresses_with_signatures_are_refused_without_repeating_them(local: Place) -> None:
    with pytest.raises(DataError, match=r"has a query") as caught:
        local.find("https://example.com/a.tif?X-Amz-Signature=abc")
    assert "abc" not in str(caught.value)


def test_patterns_in_the_name_of_the_bucket_are_refused(local: Place) -> None:
    with pytest.raises(ConfigError, match="leaves the bucket open"):
        local.find("s3://in-*/a.tif")


def test_many_keys_take_time_in_proportion(local: Place) -> None:
    """Each of 30,000 names collides with another: comparing all with all would take minutes."""
    text = "".join(f"d{number % 7}/{number // 2}.{'tif' if number % 2 else 'png'}\n" for number in range(30_000))
    found = local.find(local.put("all.txt", text.encode()))
    assert len({scene.name for scene in found}) == len(found) == 30_000


def test_bands_of_one_image_are_one_scene_and_a_lone_band_is_a_raster(local: Place, tmp_path: Path) -> None:
    for band in FOUR:
        write_cog(tmp_path / "in" / "day1" / f"{band}.tif", TINY[band])
        write_cog(tmp_path / "in" / f"T32_{band}_10m.tif", TINY[band])
    write_cog(tmp_path / "in" / "other_B02.tif", TINY["B02"])
    found = {scene.name: scene for scene in local.find()}
    assert {name: scene.kind for name, scene in found.items()} == {
        "T32_10m": "product",
        "day1": "product",
        "other_B02": "raster",
    }
    assert found["T32_10m"].key == "T32_{B02,B03,B04,B08}_10m.tif"

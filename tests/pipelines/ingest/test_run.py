"""A raw dataset becomes shards: the same ones every time, after any interruption, and nothing is lost on the way."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.ingest import IngestConfig, run_ingest, shard_writer, workers
from pipelines.ingest.planning import ShardTask
from pipelines.storage import Store, open_store
from pipelines.storage.shards import ShardStore, open_images
from rssr.errors import DataError, ExitCode, StorageError
from tests.conftest import S3Server
from tests.pipelines.ingest.conftest import picture, write_image

Configure = Callable[..., IngestConfig]


def contents(folder: Path | Store) -> dict[str, bytes]:
    """What an ingest leaves, but for what names the source."""
    store = open_store(str(folder)) if isinstance(folder, Path) else folder
    return {entry.key: store.read_bytes(entry.key) for entry in store.list() if entry.key != "parts/plan.json"}


def shards_of(folder: Path | Store) -> list[bytes]:
    return [data for key, data in sorted(contents(folder).items()) if key.startswith("shard-")]


def summary_of(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "shards.json").read_text())
    return loaded


def opened(folder: Path) -> ShardStore:
    store = open_images(str(folder))
    assert isinstance(store, ShardStore)
    return store


def test_every_image_comes_back_as_it_was(raw: Path, configure: Configure, tmp_path: Path) -> None:
    assert run_ingest(configure()) is ExitCode.DONE
    shards = opened(tmp_path / "shards")
    keys = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*.*") if path.suffix != ".txt")
    assert [entry.key for entry in shards.list()] == keys
    for entry in shards.list():
        data = (raw / entry.key).read_bytes()
        assert shards.read_bytes(entry.key) == data
        image = shards.image(entry.key)
        assert (image.width, image.height) == Image.open(io.BytesIO(data)).size
        assert image.class_name == entry.key.split("/")[0]
        assert entry.num_bytes == len(data)


def test_the_summary_says_what_there_is(configure: Configure, tmp_path: Path, raw: Path) -> None:
    run_ingest(configure(input={"uri": str(raw), "licence": "CC0", "citation": "made here"}))
    summary = summary_of(tmp_path / "shards")
    assert summary["source"] == str(raw)
    assert (summary["licence"], summary["citation"], summary["layout"]) == ("CC0", "made here", "folder")
    assert summary["num_images"] == 12
    assert summary["other_files"] == "1 .txt"
    counts = {"farm": 4, "harbour": 2, "river": 6}
    assert summary["classes"] == {name: {"unassigned": number} for name, number in counts.items()}
    assert len(summary["shards"]) > 2
    assert sum(shard["num_rows"] for shard in summary["shards"]) == 12
    for shard in summary["shards"]:
        assert (tmp_path / "shards" / shard["name"]).stat().st_size == shard["num_bytes"]
    assert summary["duplicates"]["num_exact"] == summary["duplicates"]["num_near"] == 0


def test_shards_are_plain_parquet(configure: Configure, tmp_path: Path, raw: Path) -> None:
    run_ingest(configure())
    shards = opened(tmp_path / "shards")
    for name in {image.shard for image in shards.images()}:
        file = pq.ParquetFile(tmp_path / "shards" / name)
        column = file.schema_arrow.get_field_index("data")
        assert file.metadata.row_group(0).column(column).compression == "UNCOMPRESSED"
        for image in (image for image in shards.images() if image.shard == name):
            row = file.read_row_group(image.row_group).slice(image.row, 1).to_pylist()[0]
            assert row["data"] == (raw / image.key).read_bytes()
            assert (row["key"], row["sha256"], row["width"]) == (image.key, image.sha256, image.width)
            assert row["phash"] is not None
    assert any(pq.ParquetFile(path).num_row_groups > 1 for path in (tmp_path / "shards").glob("shard-*"))


@pytest.mark.parametrize("num_threads", [1, 7])
def test_the_same_source_gives_the_same_bytes(
    configure: Configure, tmp_path: Path, raw: Path, num_threads: int
) -> None:
    run_ingest(configure())
    shutil.copytree(raw, tmp_path / "copy")
    elsewhere = {"input": {"uri": str(tmp_path / "copy")}, "output": {"uri": str(tmp_path / "again")}}
    run_ingest(configure(**elsewhere, num_threads=num_threads, max_bytes_in_flight=1))
    assert shards_of(tmp_path / "again") == shards_of(tmp_path / "shards")
    assert summary_of(tmp_path / "again")["digest"] == summary_of(tmp_path / "shards")["digest"]


def test_a_finished_ingest_is_recognised_and_nothing_is_written(configure: Configure, tmp_path: Path) -> None:
    run_ingest(configure())
    before = open_store(str(tmp_path / "shards")).list()
    run_ingest(configure(num_threads=1))
    assert open_store(str(tmp_path / "shards")).list() == before


@pytest.mark.parametrize("num_written", [0, 1, 2, 3, 5, 8])
def test_an_interrupted_ingest_goes_on_where_it_stopped(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_written: int
) -> None:
    run_ingest(configure(output={"uri": str(tmp_path / "undisturbed")}))
    with monkeypatch.context() as patch:
        fail_after(patch, num_written)
        with pytest.raises(KeyboardInterrupt):
            run_ingest(configure())
    with pytest.raises(StorageError):
        _ = opened_early(tmp_path / "shards").summary
    made = record_made(monkeypatch)
    run_ingest(configure())
    num_shards = len(summary_of(tmp_path / "undisturbed")["shards"])
    assert len(made) == num_shards - min(max(num_written - 1, 0) // 2, num_shards)
    assert contents(tmp_path / "shards") == contents(tmp_path / "undisturbed")


def opened_early(folder: Path) -> ShardStore:
    return ShardStore(open_store(str(folder)))


def fail_after(patch: pytest.MonkeyPatch, num_written: int) -> None:
    """Die at a write, the first of which announces the ingest; then come each shard and its part."""
    from pipelines.storage.local import LocalStore

    write = LocalStore.write_bytes
    written = []

    def dying(self: LocalStore, key: str, data: bytes) -> None:
        if len(written) >= num_written:
            raise KeyboardInterrupt
        written.append(key)
        write(self, key, data)

    patch.setattr(LocalStore, "write_bytes", dying)


def record_made(patch: pytest.MonkeyPatch) -> list[int]:
    made = []

    def recording(task: ShardTask, *rest: Any) -> None:
        made.append(task.number)
        shard_writer.make_shard(task, *rest)

    patch.setattr(workers, "make_shard", recording)
    return made


@pytest.mark.parametrize("is_finished", [True, False])
def test_what_is_gone_or_cut_is_made_again(configure: Configure, tmp_path: Path, is_finished: bool) -> None:
    run_ingest(configure())
    whole = contents(tmp_path / "shards")
    first, second, *_ = sorted((tmp_path / "shards").glob("shard-*"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:100])
    [index] = (tmp_path / "shards").glob("index-*")
    index.unlink()
    if not is_finished:
        (tmp_path / "shards" / "shards.json").unlink()
    run_ingest(configure())
    assert contents(tmp_path / "shards") == whole


def test_a_changed_source_is_told_and_taken_over_only_as_asked(
    configure: Configure, tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_ingest(configure())
    write_image(raw / "river" / "river_999.png", picture("new"))
    write_image(raw / "river" / "river_004.png", picture("changed"))
    (raw / "river" / "river_005.png").unlink()
    before = contents(tmp_path / "shards")
    with pytest.raises(
        DataError, match=r"1 added \(river/river_999.*1 removed .*river_005.*1 changed .*river_004"
    ) as told:
        run_ingest(configure())
    assert "update=true" in str(told.value)
    assert contents(tmp_path / "shards") == before
    made = record_made(monkeypatch)
    run_ingest(configure(update=True))
    assert 0 < len(made) < len(summary_of(tmp_path / "shards")["shards"]), "unchanged shards are taken over"
    run_ingest(configure(output={"uri": str(tmp_path / "afresh")}))
    assert contents(tmp_path / "shards") == contents(tmp_path / "afresh"), "nothing of before is left"


def test_anothers_shards_are_not_replaced(configure: Configure, tmp_path: Path) -> None:
    run_ingest(configure())
    write_image(tmp_path / "other" / "x" / "1.png", picture("other"))
    other = {"input": {"uri": str(tmp_path / "other")}}
    with pytest.raises(DataError, match=r"shards of another dataset.*raw data.*fresh=true"):
        run_ingest(configure(**other))
    run_ingest(configure(**other, fresh=True))
    assert [entry.key for entry in opened(tmp_path / "shards").list()] == ["x/1.png"]
    assert len(shards_of(tmp_path / "shards")) == 1


def test_an_unfinished_ingest_of_another_dataset_is_not_mixed_with(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fail_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            run_ingest(configure())
    write_image(tmp_path / "other" / "x" / "1.png", picture("other"))
    with pytest.raises(DataError, match=r"an unfinished ingest of another dataset"):
        run_ingest(configure(input={"uri": str(tmp_path / "other")}))


def test_corrupt_images_are_listed_with_reasons(configure: Configure, tmp_path: Path, raw: Path) -> None:
    whole = (raw / "harbour" / "2.jpg").read_bytes()
    bad = {"river/cut é.jpg": whole[: len(whole) // 2], "river/empty.png": b"", "river/text.png": b"<html>404</html>"}
    for key, data in bad.items():
        (raw / key).write_bytes(data)
    (raw / "river" / "named_wrongly.png").write_bytes(whole)
    Image.new("RGB", (1, 1), "red").save(raw / "river" / "one_pixel.png")
    with pytest.raises(DataError, match=r"3 of 17 images .*max_corrupt_fraction=0.05.*cut é") as refused:
        run_ingest(configure())
    assert refused.value.exit_code is ExitCode.BAD_INPUT
    run_ingest(configure(max_corrupt_fraction=0.2))
    skipped = summary_of(tmp_path / "shards")["skipped"]
    assert [item["key"] for item in skipped] == sorted(bad)
    assert all(item["key"] in item["reason"] for item in skipped)
    rows = list(csv.reader(io.StringIO((tmp_path / "shards" / "skipped.csv").read_text())))
    assert rows == [["key", "reason"], *([item["key"], item["reason"]] for item in skipped)]
    shards = opened(tmp_path / "shards")
    assert shards.read_bytes("river/named_wrongly.png") == whole
    assert (shards.image("river/one_pixel.png").width, shards.image("river/one_pixel.png").height) == (1, 1)
    before = open_store(str(tmp_path / "shards")).list()
    run_ingest(configure(max_corrupt_fraction=0.2))
    assert open_store(str(tmp_path / "shards")).list() == before, "skipped images are no change"


def test_a_name_that_is_no_text_is_listed(
    configure: Configure, tmp_path: Path, raw: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = b"\xff\xfe.png".decode(errors="surrogateescape")
    write_image(raw / "river" / name, picture("no text"))
    run_ingest(configure(max_corrupt_fraction=0.2))
    [skipped] = summary_of(tmp_path / "shards")["skipped"]
    assert "not UTF-8" in skipped["reason"]
    assert b"skipped river/" in caplog.text.encode()  # strictly, as a log file is written
    assert len(opened(tmp_path / "shards").list()) == 12


def test_only_corrupt_images_are_an_error(configure: Configure, tmp_path: Path, raw: Path) -> None:
    for path in raw.rglob("*.[pj][np]g"):
        path.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"None of the 12 images can be used.*farm 001"):
        run_ingest(configure(max_corrupt_fraction=1.0))
    assert not (tmp_path / "shards" / "shards.json").exists()


def test_a_source_without_images_is_an_error(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty is empty.*input\.uri"):
        run_ingest(configure(input={"uri": str(tmp_path / "empty")}))
    with pytest.raises(DataError, match=r"missing does not exist"):
        run_ingest(configure(input={"uri": str(tmp_path / "missing")}))
    (tmp_path / "empty" / "notes.txt").write_text("none")
    with pytest.raises(DataError, match=r"None of the 1 files .* is an image.*notes"):
        run_ingest(configure(input={"uri": str(tmp_path / "empty")}))


def test_shards_never_go_into_their_source(configure: Configure, raw: Path) -> None:
    for place in (raw, raw / "farm"):
        with pytest.raises(DataError, match="in the source itself"):
            run_ingest(configure(output={"uri": str(place)}))
    assert len(list(raw.rglob("*"))) == 16


def test_an_image_larger_than_a_shard_has_its_own(configure: Configure, tmp_path: Path, raw: Path) -> None:
    write_image(raw / "huge.png", np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8))
    run_ingest(configure())
    alone = opened(tmp_path / "shards").image("huge.png")
    assert alone.num_bytes > 30_000
    assert [image.key for image in opened(tmp_path / "shards").images() if image.shard == alone.shard] == ["huge.png"]


def test_an_image_that_changes_while_it_is_read_stops_the_ingest(
    configure: Configure, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def growing(*arguments: Any) -> None:
        (raw / "farm" / "farm 001.png").write_bytes(b"longer" * 10_000)
        shard_writer.make_shard(*arguments)

    monkeypatch.setattr(workers, "make_shard", growing)
    with pytest.raises(DataError, match=r"farm 001.*had .* bytes when it was listed and has 60,000 now"):
        run_ingest(configure())


def test_shards_of_shards_hold_the_same(configure: Configure, tmp_path: Path) -> None:
    run_ingest(configure())
    again = {"input": {"uri": str(tmp_path / "shards")}, "output": {"uri": str(tmp_path / "again")}}
    run_ingest(configure(**again, shard_bytes=10**6))
    assert summary_of(tmp_path / "again")["digest"] == summary_of(tmp_path / "shards")["digest"]
    assert len(shards_of(tmp_path / "again")) == 1


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_gives_the_shards_of_its_folder(
    configure: Configure, tmp_path: Path, raw: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    s3_server.use(monkeypatch)
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), kind, raw))
    bucket = s3_server.make_bucket()
    open_store(bucket).upload_file(archive, f"raw data.{kind}")
    run_ingest(configure(input={"uri": f"{bucket}/raw data.{kind}"}, output={"uri": str(tmp_path / "of archive")}))
    run_ingest(configure())
    assert shards_of(tmp_path / "of archive") == shards_of(tmp_path / "shards")
    assert summary_of(tmp_path / "of archive")["digest"] == summary_of(tmp_path / "shards")["digest"]


def test_from_and_to_s3(
    configure: Configure, tmp_path: Path, raw: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.use(monkeypatch)
    bucket = s3_server.make_bucket()
    open_store(f"{bucket}/raw data").upload_folder(raw, "")
    run_ingest(configure(input={"uri": f"{bucket}/raw data"}, output={"uri": f"{bucket}/shärds"}))
    run_ingest(configure())
    remote = open_images(f"{bucket}/shärds")
    assert isinstance(remote, ShardStore)
    assert shards_of(remote.folder) == shards_of(tmp_path / "shards")
    assert remote.summary["digest"] == summary_of(tmp_path / "shards")["digest"]
    assert remote.read_bytes("farm/поле.png") == (raw / "farm" / "поле.png").read_bytes()
    before = remote.folder.list()
    run_ingest(configure(input={"uri": f"{bucket}/raw data"}, output={"uri": f"{bucket}/shärds"}))
    assert remote.folder.list() == before
    with pytest.raises(StorageError, match="no-such-bucket"):
        run_ingest(configure(output={"uri": "s3://no-such-bucket/shards"}))


def test_ray_makes_the_same_shards(configure: Configure, tmp_path: Path, ray_cluster: str) -> None:
    run_ingest(configure())
    run_ingest(configure(output={"uri": str(tmp_path / "by ray")}, num_workers=2))
    assert contents(tmp_path / "by ray") == contents(tmp_path / "shards")

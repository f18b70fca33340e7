import hashlib
from pathlib import Path

import pytest

from rssr.client import Client, ServiceError
from rssr.errors import StorageError
from tests.rssr.client.scripted import Reply, Scripted

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def items(
    name: str = "town/town.tif", sha256: str = SHA256, href: str | None = "/v1/archives/a1/files/town.tif"
) -> Reply:
    file = {"name": name, "bytes": len(CONTENT), "sha256": sha256, "href": href, "uri": "s3://out/town.tif"}
    return Reply(200, {"items": [{"name": "town", "state": "published", "files": [file]}], "next": None})


def rest(start: int, cut: int | None = None) -> Reply:
    end = len(CONTENT) - 1
    return Reply(
        206, content=CONTENT[start:], headers={"Content-Range": f"bytes {start}-{end}/{len(CONTENT)}"}, cut=cut
    )


def fetch(service: Scripted, folder: Path) -> list[Path]:
    return Client(service.url).archives.download("a1", folder)


def test_products_are_fetched_once(service: Scripted, tmp_path: Path) -> None:
    service.replies = [items(), Reply(200, content=CONTENT), items()]
    assert fetch(service, tmp_path) == [tmp_path / "town" / "town.tif"]
    assert fetch(service, tmp_path) == [tmp_path / "town" / "town.tif"]
    assert (tmp_path / "town" / "town.tif").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "town").iterdir()] == ["town.tif"]


def test_a_broken_download_goes_on_where_it_was(service: Scripted, tmp_path: Path) -> None:
    service.replies = [items(), Reply(200, content=CONTENT, cut=1000), rest(1000, cut=500), rest(1500)]
    (path,) = fetch(service, tmp_path)
    assert path.read_bytes() == CONTENT
    assert [asked.headers.get("range") for asked in service.asked[1:]] == [None, "bytes=1000-", "bytes=1500-"]


def test_a_later_call_goes_on_too(service: Scripted, tmp_path: Path) -> None:
    (tmp_path / "town").mkdir()
    (tmp_path / "town" / "town.tif.part").write_bytes(CONTENT[:100])
    service.replies = [items(), rest(100)]
    assert fetch(service, tmp_path)[0].read_bytes() == CONTENT


def test_a_service_without_ranges_starts_over(service: Scripted, tmp_path: Path) -> None:
    (tmp_path / "town").mkdir()
    (tmp_path / "town" / "town.tif.part").write_bytes(CONTENT[:100])
    service.replies = [items(), Reply(200, content=CONTENT)]
    assert fetch(service, tmp_path)[0].read_bytes() == CONTENT


def test_a_part_of_another_file_is_thrown_away(service: Scripted, tmp_path: Path) -> None:
    (tmp_path / "town").mkdir()
    (tmp_path / "town" / "town.tif.part").write_bytes(b"x" * 100)
    service.replies = [items(), rest(100), Reply(200, content=CONTENT)]
    assert fetch(service, tmp_path)[0].read_bytes() == CONTENT


def test_other_bytes_than_told_never_get_the_name(service: Scripted, tmp_path: Path) -> None:
    service.replies = [items(sha256="0" * 64), Reply(200, content=CONTENT), Reply(200, content=CONTENT)]
    with pytest.raises(ServiceError, match="other bytes"):
        fetch(service, tmp_path)
    assert list((tmp_path / "town").iterdir()) == []


def test_a_file_that_stays_too_short_is_given_up(service: Scripted, tmp_path: Path) -> None:
    service.replies = [items(), *[Reply(200, content=b"")] * 5]
    with pytest.raises(ServiceError, match="shorter"):
        fetch(service, tmp_path)


def test_products_at_a_place_of_the_callers_are_not_fetched_here(service: Scripted, tmp_path: Path) -> None:
    service.replies = [items(href=None)]
    with pytest.raises(ServiceError, match="Fetch it from"):
        fetch(service, tmp_path)


@pytest.mark.parametrize("name", ["../town.tif", "/etc/town", "a/../../b", "", "a\\..\\b"])
def test_no_name_leads_outside_the_folder(service: Scripted, tmp_path: Path, name: str) -> None:
    service.replies = [items(name=name), Reply(200, content=CONTENT)]
    with pytest.raises(StorageError, match="no name of a file inside"):
        fetch(service, tmp_path / "here")

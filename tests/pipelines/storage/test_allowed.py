"""What others name lies in allowed places, however it is written."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.storage.allowed import AllowedPlaces, PlaceRefused

PLACES = AllowedPlaces(
    ("s3://bucket/in/", "https://Data.example.org/scenes", "http://10.0.0.5:8080/x", "gs://other"),
)


def allows(places: AllowedPlaces, uri: str) -> bool:
    try:
        return places.allows(uri)
    except PlaceRefused:
        return False


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/in",
        "s3://bucket/in/",
        "S3A://bucket/in/a b/c.tif",
        "s3://bucket/in/**/*.tif",
        "s3://bucket/in/a.zip!/b/c.tif",
        "s3://bucket/in/a#1?.tif",
        "HTTPS://data.EXAMPLE.org:443/scenes/a%20b.tif",
        "http://10.0.0.5:8080/x/list.txt",
        "gs://other/anything",
    ],
)
def test_what_lies_below_a_prefix_is_allowed(uri: str) -> None:
    assert pickle.loads(pickle.dumps(PLACES)).allows(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/inner/a.tif",
        "s3://bucket/in2",
        "s3://bucket/i*/a.tif",
        "s3://bucket/in/../out/a.tif",
        "s3://bucket/in/./a.tif",
        "s3://bucket/in//a.tif",
        "s3://bucket//in/a.tif",
        "s3://bucket/in/%2e%2e/a.tif",
        "s3://bucket/in/a.zip!/../b.tif",
        "s3://bucket2/in/a.tif",
        "s3://key:secret@bucket/in/a.tif",
        "s3://bucket",
        "s3:///in/a.tif",
        "s3:/bucket/in/a.tif",
        "gs://bucket/in/a.tif",
        "https://data.example.org/scenesque",
        "https://data.example.org/scenes/../x",
        "https://data.example.org/scenes/%2E%2e/x",
        "https://data.example.org/scenes/%252e%252e/x",
        "https://data.example.org/scenes/..%2fx",
        "https://data.example.org/scenes\\..\\x",
        "https://data.example.org/scenes/x?y=z",
        "https://data.example.org/scenes/x#y",
        "https://data.example.org:8443/scenes/x",
        "https://data.example.org.evil.example/scenes/x",
        "https://data.example.org@evil.example/scenes/x",
        "https://evil.example\\@data.example.org/scenes/x",
        "https://data.example.org./scenes/x",
        "https://d\u00e4ta.example.org/scenes/x",
        "http://data.example.org/scenes/x",
        "https://[::1/scenes/x",
        "https://data.example.org:http/scenes/x",
        "http://10.0.0.5/x/y",
        "http://167772165:8080/x/y",
        "http://169.254.169.254/latest/meta-data/",
        "simplecache::https://data.example.org/scenes/x",
        "/etc/passwd",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "~/x",
        "relative/x",
        "",
        "s3://bucket/in/a\n.tif",
        "s3://bucket/in/a\x00.tif",
        "s3://bucket/in/" + "a" * 5000,
        "/vsicurl/https://data.example.org/scenes/x",
    ],
)
def test_nothing_else_is_however_it_is_disguised(uri: str) -> None:
    assert not allows(PLACES, uri)
    with pytest.raises(PlaceRefused) as raised:
        PLACES.require(uri)
    assert "secret" not in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "in").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.tif").touch()
    return tmp_path / "data"


def test_local_links_count_as_where_they_lead(data: Path) -> None:
    places = AllowedPlaces((str(data),))
    (data / "out").symlink_to(data.parent / "secret")
    (data / "a.tif").symlink_to(data.parent / "secret" / "a.tif")
    (data / "same").symlink_to(data / "in")
    (data / "loop").symlink_to(data / "loop")
    assert allows(places, f"{data}/same/b.tif")
    assert allows(places, f"file://{data}/in/b%20c.tif")
    for leading in ("out", "out/a.tif", "a.tif", "out/**/*.tif", "loop/x"):
        assert not allows(places, f"{data}/{leading}")


def test_prefixes_may_be_links_themselves(data: Path) -> None:
    (data.parent / "link").symlink_to(data)
    places = AllowedPlaces((f"file://{data.parent}/link",))
    assert allows(places, f"{data}/in") and allows(places, f"{data.parent}/link/in")
    assert not allows(places, f"{data.parent}/secret")


@pytest.mark.parametrize(
    "uri", ["{}/../secret", "{}/./in", "{}//in", "file://{}/%2e%2e/secret", "file://{}/in?x", "{}2"]
)
def test_local_paths_are_written_out(data: Path, uri: str) -> None:
    (data.parent / "data2").mkdir()
    assert not allows(AllowedPlaces((str(data),)), uri.format(data))


def test_a_folder_called_like_a_member_is_itself(data: Path) -> None:
    (data / "a.zip!" / "b").mkdir(parents=True)
    assert not allows(AllowedPlaces((f"{data}/a.zip",)), f"{data}/a.zip!/b")
    assert allows(AllowedPlaces((f"{data}/c.zip",)), f"{data}/c.zip!/b")


def test_prefixes_that_could_never_hold_are_refused() -> None:
    for prefix in ("relative", "s3://", "https://host/%2e%2e", "https://user@host/"):
        with pytest.raises(PlaceRefused):
            AllowedPlaces((prefix,))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::a9fe:a9fe",
    ],
)
def test_names_do_not_lead_into_the_own_network(address: str) -> None:
    with pytest.raises(PlaceRefused, match="own network"):
        PLACES.require_address("data.example.org", ["93.184.215.14", address])
    PLACES.require_address("localhost", [address])
    AllowedPlaces((), ("Data.example.org",)).require_address("data.EXAMPLE.org", [address])


def test_public_addresses_are_fine() -> None:
    PLACES.require_address("data.example.org", ["93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8"])


def test_local_places_need_no_web_client() -> None:
    code = "import sys, pipelines.storage; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

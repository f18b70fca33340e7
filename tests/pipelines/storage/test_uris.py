from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.storage import is_local, join_uri, local_path, redact
from pipelines.storage.uris import parse_uri
from rssr.errors import StorageError

NAMES = st.text("abcXYZ019-_. ", min_size=1, max_size=8).filter(lambda name: name.strip(" .") != "")


@given(bucket=st.text("abc019-", min_size=1, max_size=8), names=st.lists(NAMES, max_size=4))
def test_remote_uris_survive_parsing(bucket: str, names: list[str]) -> None:
    uri = "/".join([f"s3://{bucket}", *names])
    location = parse_uri(uri)
    assert (location.bucket, location.path) == (bucket, "/".join(names))
    assert location.uri == uri
    assert parse_uri(location.uri) == location


def test_local_forms_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    forms = ["a b", "./a b", str(tmp_path / "a b"), f"file://{tmp_path}/a%20b"]
    assert {parse_uri(form).uri for form in forms} == {str(tmp_path / "a b")}
    assert all(is_local(form) for form in forms)
    assert local_path("a b") == tmp_path / "a b"
    assert local_path("s3://bucket/a") is None


@pytest.mark.parametrize("uri", ["", "  ", "s3://", "s3:///key"])
def test_useless_uris_are_refused(uri: str) -> None:
    with pytest.raises(StorageError):
        parse_uri(uri)


def test_credentials_in_a_uri_are_refused_and_not_repeated() -> None:
    with pytest.raises(StorageError, match="credentials") as caught:
        parse_uri("s3://AKIA123:verysecret@bucket/key")
    assert "verysecret" not in str(caught.value)
    assert "AKIA123" not in str(caught.value)


def test_redact_drops_signatures() -> None:
    text = redact("https://user:pass@host/a?X-Amz-Signature=abc")
    assert "abc" not in text
    assert "pass" not in text
    assert "host/a" in text


def test_join_uses_single_slashes() -> None:
    assert join_uri("s3://bucket/", "/a/", "b") == "s3://bucket/a/b"
    assert join_uri("/", "a") == "/a"

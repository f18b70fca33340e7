"""Keys are known by digests, taken over when their file changes, and never told."""

import os
import pickle
from pathlib import Path

import pytest

from pipelines.serving.caller import Caller
from pipelines.serving.problems import Problem
from pipelines.serving.security.config import SecurityConfig
from pipelines.serving.security.keys import Keys, is_loopback, load_keys, parse_keys
from rssr.errors import ConfigError
from rssr.service_keys import key_digest, key_line, new_key

ANNA, BERT = new_key(), new_key()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"# who\n\n{key_line('anna', ANNA)}  # since May\n")
    return path


def name_of(keys: Keys, key: str) -> str | None:
    try:
        return keys.caller(f"Bearer {key}").name
    except Problem as problem:
        assert problem.slug == "unauthorized"
        assert key not in problem.detail
        return None


def write(file: Path, text: str, mtime_s: int) -> None:
    file.write_text(text)
    os.utime(file, (mtime_s, mtime_s))


def test_keys_of_file_and_environment_are_known(file: Path) -> None:
    environment = {"RSSR_API_KEYS": f"{key_line('bert', BERT)},\n{key_line('carl', ANNA[:-1] + 'x')},"}
    keys = load_keys(SecurityConfig(keys_file=str(file)), "0.0.0.0", environment)
    assert (name_of(keys, ANNA), name_of(keys, BERT), name_of(keys, new_key())) == ("anna", "bert", None)


def test_a_digest_is_no_key(file: Path) -> None:
    assert name_of(Keys(file), key_digest(ANNA)) is None


def test_a_name_may_have_several_keys(tmp_path: Path) -> None:
    keys = Keys(lines=f"{key_line('anna', ANNA)},{key_line('anna', BERT)}")
    assert name_of(keys, ANNA) == name_of(keys, BERT) == "anna"


def test_a_changed_file_is_taken_over(file: Path) -> None:
    keys = pickle.loads(pickle.dumps(Keys(file)))
    write(file, key_line("bert", BERT), 1)
    assert (name_of(keys, ANNA), name_of(keys, BERT)) == (None, "bert")
    write(file, "", 2)
    assert name_of(keys, BERT) is None
    assert keys.are_needed


def test_a_file_that_got_damaged_lets_nobody_in_or_out(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = Keys(file)
    write(file, f"{key_line('bert', BERT)}\nbert:{BERT}", 1)
    assert (name_of(keys, ANNA), name_of(keys, BERT)) == ("anna", None)
    assert "Line 2" in caplog.text and BERT not in caplog.text
    file.unlink()
    assert name_of(keys, ANNA) == "anna"


@pytest.mark.parametrize(
    "line",
    [
        ANNA,
        f"anna:{ANNA}",
        "anna",
        ":",
        f"an na:{key_digest(ANNA)}",
        f"anna:{key_digest(ANNA)}0",
        f":{key_digest(ANNA)}",
    ],
    ids=["key", "name and key", "name", "colon", "space in the name", "a digit more", "no name"],
)
def test_lines_that_are_no_keys_are_named_by_number_only(line: str) -> None:
    with pytest.raises(ConfigError, match="Line 3 of FILE") as raised:
        parse_keys(f"\n# comment\n{line}\n", "FILE")
    assert not any(part in str(raised.value) for part in (ANNA, key_digest(ANNA)))


def test_one_key_under_two_names_is_refused() -> None:
    with pytest.raises(ConfigError, match="another name"):
        parse_keys(f"{key_line('a', ANNA)}\n{key_line('b', ANNA)}", "FILE")


def test_without_keys_only_loopback_may_be_listened_at() -> None:
    assert load_keys(SecurityConfig(), "127.0.0.1", {}).caller(None) == Caller("local")
    with pytest.raises(ConfigError, match="rssr key"):
        load_keys(SecurityConfig(), "0.0.0.0", {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load_keys(SecurityConfig(keys_file="/nowhere/keys"), "127.0.0.1", {})


def test_addresses_that_others_reach_are_not_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "localhost", "::1", "[::1]", "127.8.0.9")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "", "192.168.0.1", "localhost.evil.example", "127.0.0.1.nip.io")))

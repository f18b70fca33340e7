from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.tracking import TrackingConfig, open_tracker, register_model
from pipelines.tracking.secrecy import MASK, mask_secrets
from rssr.configuration import Config

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED0000001",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-access/key+1",
    "AWS_SESSION_TOKEN": "planted-session-token-2",
    "MLFLOW_TRACKING_PASSWORD": "planted-password-3",
    "SOME_API_KEY": "planted-api-key-4",
}
IN_URI = "planted-uri-password-5"


class Settings(Config):
    """A configuration that somebody wrote secrets into."""

    token: str
    """A secret."""
    source: str
    """A place."""


def test_values_of_secret_variables_are_masked() -> None:
    assert mask_secrets("a hunter2hunter2 b", {"DB_PASSWORD": "hunter2hunter2"}) == f"a {MASK} b"


def test_secrets_that_contain_others_are_masked_as_a_whole() -> None:
    variables = {"A_TOKEN": "abcdefgh", "B_TOKEN": "abcdefghijkl"}
    assert mask_secrets("abcdefghijkl abcdefgh", variables) == f"{MASK} {MASK}"


def test_other_variables_and_short_values_stay() -> None:
    assert (
        mask_secrets("production test", {"STAGE": "production", "AWS_SECRET_ACCESS_KEY": "test"}) == "production test"
    )


@pytest.mark.parametrize("uri", ["s3://me:pass@host/x", "postgresql://me:p:w@host:5432/db", "https://token@host"])
def test_user_and_password_of_uris_are_masked(uri: str) -> None:
    host = uri.rpartition("@")[2]
    assert mask_secrets(f"see {uri}, please", {}) == f"see {uri.partition('://')[0]}://{MASK}@{host}, please"


def test_plain_uris_and_addresses_stay() -> None:
    text = "s3://bucket/a@b http://host:5000/x someone@example.org models:/x@champion"
    assert mask_secrets(text, {}) == text


def files_that_hold(folder: Path, secret: str) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_nothing_in_the_whole_store_holds_a_credential(
    output: Path, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    everything = " ".join(SECRETS.values())
    uri = f"s3://user:{IN_URI}@host/data"
    tracker = open_tracker(TrackingConfig(system_metrics_interval_s=0.1), str(output))
    run = tracker.open_run("key", "name", tags={"note": everything})
    run.log_params({"secret": everything, "nested": [everything, uri]})
    run.log_config(Settings(token=everything, source=uri))
    run.log_dataset("train", "ab" * 32, uri)
    run.log_text(f"{everything} {uri}", "notes.txt")
    run.set_tags({"uri": uri})
    run.log_metrics({"loss": 1.0}, 1)
    run.log_image("picture", np.zeros((4, 4, 3), np.uint8), 1)
    register_model(make_model(), "model", run, {"secret": everything}, f"{everything} {uri}")
    run.finish()
    found = {secret: files_that_hold(output, secret) for secret in [*SECRETS.values(), IN_URI]}
    assert not any(found.values()), found
    assert files_that_hold(output, MASK), "the search itself finds what is there"

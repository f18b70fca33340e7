import os

import pytest

from pipelines.storage import StorageSettings, open_store, pyarrow_filesystem
from rssr.errors import StorageError

SECRETS = ("the-key-id", "the-secret", "the-token")
ENVIRONMENT = {
    "AWS_ENDPOINT_URL": "http://general:1",
    "AWS_ENDPOINT_URL_S3": "http://minio.local:9000",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": SECRETS[0],
    "AWS_SECRET_ACCESS_KEY": SECRETS[1],
    "AWS_SESSION_TOKEN": SECRETS[2],
}


def test_environment_round_trip() -> None:
    settings = StorageSettings.from_environment(ENVIRONMENT)
    assert settings.endpoint_url == "http://minio.local:9000"
    assert StorageSettings.from_environment(settings.environment()) == settings
    assert StorageSettings.from_environment(settings.mlflow_environment()) == settings


def test_every_library_gets_the_same_server_and_credentials() -> None:
    settings = StorageSettings.from_environment(ENVIRONMENT)
    gdal = settings.gdal_environment()
    assert gdal["AWS_S3_ENDPOINT"] == "minio.local:9000"
    assert (gdal["AWS_HTTPS"], gdal["AWS_VIRTUAL_HOSTING"]) == ("NO", "FALSE")
    arrow = settings.pyarrow_options()
    assert (arrow["endpoint_override"], arrow["scheme"]) == ("minio.local:9000", "http")
    assert settings.s3fs_options()["endpoint_url"] == settings.mlflow_environment()["MLFLOW_S3_ENDPOINT_URL"]
    session = settings.aws_session_options()
    assert session["endpoint_url"] == "minio.local:9000"
    everyone = (gdal, session, arrow, settings.s3fs_options(), settings.boto3_options(), settings.mlflow_environment())
    for options in everyone:
        assert all(secret in options.values() for secret in SECRETS)
    assert not any(secret in settings.gdal_options().values() for secret in SECRETS)


def test_every_library_gives_up_on_silent_servers_and_asks_busy_ones_again() -> None:
    settings = StorageSettings.from_environment(ENVIRONMENT)
    gdal = settings.gdal_options()
    assert float(gdal["GDAL_HTTP_CONNECTTIMEOUT"]) == settings.pyarrow_options()["connect_timeout"] == 4
    assert float(gdal["GDAL_HTTP_LOW_SPEED_TIME"]) == settings.pyarrow_options()["request_timeout"] == 30
    config = settings.s3fs_options()["config_kwargs"]
    assert (config["connect_timeout"], config["read_timeout"]) == (4, 30)
    assert int(gdal["GDAL_HTTP_MAX_RETRY"]) + 1 == settings.pyarrow_options()["retry_strategy"].max_attempts == 6


def test_aws_itself_is_left_to_its_defaults() -> None:
    settings = StorageSettings.from_environment({})
    assert settings.environment() == {}
    assert settings.boto3_options()["endpoint_url"] is None
    assert "s3" not in settings.client_config()
    assert "AWS_S3_ENDPOINT" not in settings.gdal_environment()


def test_secrets_stay_out_of_reprs() -> None:
    settings = StorageSettings.from_environment(ENVIRONMENT)
    shown = f"{settings!r} {settings} {open_store('s3://bucket/a', settings)!r}"
    assert not any(secret in shown for secret in SECRETS)


@pytest.mark.parametrize("endpoint", ["minio.local:9000", "ftp://host", "http://", "http://user:the-secret@host"])
def test_bad_endpoints_are_refused_without_repeating_secrets(endpoint: str) -> None:
    with pytest.raises(StorageError) as caught:
        StorageSettings(endpoint_url=endpoint)
    assert "AWS_" in str(caught.value)
    assert "the-secret" not in str(caught.value)


def test_custom_endpoints_relax_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REQUEST_CHECKSUM_CALCULATION", raising=False)
    open_store("s3://bucket", StorageSettings())
    assert "AWS_REQUEST_CHECKSUM_CALCULATION" not in os.environ
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")  # the user's own word stands
    open_store("s3://bucket", StorageSettings.from_environment(ENVIRONMENT))
    assert os.environ["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_supported"


def test_pyarrow_knows_local_folders(tmp_path: object) -> None:
    filesystem, path = pyarrow_filesystem(str(tmp_path))
    assert filesystem.type_name == "local"
    assert path == str(tmp_path)

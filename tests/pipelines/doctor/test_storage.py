import time

import pytest

from pipelines.doctor.storage import check_storage
from pipelines.storage import open_store
from rssr.doctor import Check, DoctorOptions, Finding, State, examine
from tests.conftest import S3Server, free_port
from tests.pipelines.doctor.conftest import StartServer


def look(output_uri: str | None = None) -> Finding:
    [finding] = examine(DoctorOptions(output_uri=output_uri), [Check("storage", check_storage)])
    return finding


def test_without_a_store_nothing_is_looked_at() -> None:
    assert look().state is State.SKIPPED
    assert look("/some/folder").state is State.SKIPPED


def test_a_store_is_written_to_and_left_as_it_was(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    moto_server.use(monkeypatch)
    bucket = moto_server.make_bucket()
    finding = look(f"{bucket}/runs")
    assert finding.state is State.OK, finding.found
    assert "refuses to overwrite" in finding.found
    assert open_store(bucket).list() == []


def test_a_store_that_ignores_conditional_puts_is_warned_of(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.use(monkeypatch)
    finding = look(f"{s3_server.make_bucket()}/runs")
    assert finding.state is State.WARNING
    assert "conditional puts" in finding.found


def test_an_endpoint_alone_is_asked_whether_it_is_there(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    s3_server.use(monkeypatch)
    finding = look()
    assert finding.state is State.OK
    assert "--output s3://BUCKET/PREFIX" in finding.found


def test_a_wrong_key_fails_and_is_not_told(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3_server.make_bucket()
    s3_server.use(monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    finding = look(bucket)
    assert finding.state is State.FAILED
    assert "refuses access" in finding.found
    assert "AWS_SECRET_ACCESS_KEY" in finding.remedy
    assert "planted-secret" not in str(finding)


def test_a_bucket_that_is_not_there_fails(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    s3_server.use(monkeypatch)
    finding = look("s3://no-such-bucket/runs")
    assert finding.state is State.FAILED
    assert "no-such-bucket" in finding.found


def test_a_closed_port_and_a_silent_server_fail_within_seconds(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for endpoint in (f"http://127.0.0.1:{free_port()}", start_server(silent=True)):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        started_s = time.monotonic()
        finding = look("s3://bucket/runs")
        assert time.monotonic() - started_s < 20
        assert finding.state is State.FAILED
        assert f"The S3 server {endpoint} does not answer" in finding.found

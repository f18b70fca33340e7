import pytest

from pipelines.doctor.clock import check_clock, judge
from rssr.doctor import DoctorOptions, State
from tests.conftest import free_port
from tests.pipelines.doctor.conftest import StartServer


@pytest.mark.parametrize(
    ("clock_s", "state", "words"),
    [
        (20, State.OK, "within"),
        (120, State.WARNING, "behind"),
        (-120, State.WARNING, "ahead of"),
        (3600, State.FAILED, "behind"),
        (-3600, State.FAILED, "ahead of"),
    ],
)
def test_the_stores_clock_decides(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, clock_s: int, state: State, words: str
) -> None:
    endpoint = start_server(status=403, clock_s=clock_s)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    finding = check_clock(DoctorOptions())
    assert finding.state is state, finding.found
    assert f"{words} " in finding.found
    assert endpoint in finding.found
    assert ("timedatectl" in finding.remedy) == (state is not State.OK)


def test_without_a_store_mlflows_clock_is_asked(start_server: StartServer) -> None:
    finding = check_clock(DoctorOptions(tracking_uri=start_server(clock_s=-400)))
    assert finding.state is State.WARNING
    assert "0:06:" in finding.found


def test_without_a_server_or_its_clock_there_is_nothing_to_compare(start_server: StartServer) -> None:
    for uri in (None, "sqlite:////folder/mlflow.db", f"http://127.0.0.1:{free_port()}", start_server(clock_s=None)):
        assert check_clock(DoctorOptions(tracking_uri=uri)).state is State.SKIPPED


def test_a_minute_is_tolerated_and_a_quarter_of_an_hour_refused_by_stores() -> None:
    states = [judge("clock", error_s, "a server's").state for error_s in (-60, 60, -61, 61, 899, 900, -900)]
    assert states == [State.OK] * 2 + [State.WARNING] * 3 + [State.FAILED] * 2

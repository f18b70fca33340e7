import socket
import time

import pytest

from pipelines.doctor.cluster import check_node_clocks, check_nodes, check_ray, look_at
from rssr.doctor import DoctorOptions, State
from tests.conftest import free_port


def test_without_an_address_no_cluster_is_asked() -> None:
    options = DoctorOptions()
    for check in (check_ray, check_nodes, check_node_clocks):
        assert check(options).state is State.SKIPPED
    assert "RAY_ADDRESS" in check_ray(options).remedy


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:{port}", "No Ray cluster answers"),
        ("ray://127.0.0.1:{port}", "No Ray cluster answers"),
        ("nonsense", "no address of a Ray cluster"),
        ("http://127.0.0.1:8265", "job server"),
    ],
)
def test_addresses_where_no_cluster_is_fail_within_seconds(
    monkeypatch: pytest.MonkeyPatch, address: str, words: str
) -> None:
    address = address.format(port=free_port())
    monkeypatch.setenv("RAY_ADDRESS", address)
    started_s = time.monotonic()
    finding = check_ray(DoctorOptions())
    assert time.monotonic() - started_s < 30
    assert finding.state is State.FAILED
    assert words in finding.found
    assert address in finding.found
    assert check_nodes(DoctorOptions()).state is State.SKIPPED
    assert check_node_clocks(DoctorOptions()).state is State.SKIPPED


def test_a_port_of_something_else_is_waited_for_no_longer_than_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        started_s = time.monotonic()
        look = look_at(f"127.0.0.1:{server.getsockname()[1]}", patience_s=3)
        assert time.monotonic() - started_s < 30
    assert look.nodes == ()
    assert look.refusal is not None
    assert "does not answer within 3 s" in look.refusal.problem
    assert "6379" in look.refusal.remedy

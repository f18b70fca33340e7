from dataclasses import replace

import pytest

import rssr
from pipelines.nodes import NodeFacts, ask_nodes, differences, listed, own_facts, require_same_code

OURS = NodeFacts("this process", {"python": "3.11.7", "rssr": "1.0", "torch": "2.6.0"}, code="ab")


def node(**changes: object) -> NodeFacts:
    values = {"node": "node 10.0.0.2", **changes}
    return replace(OURS, **values)  # type: ignore[arg-type]  # of the types that the fields have


@pytest.mark.usefixtures("ray_cluster")
def test_every_node_of_a_cluster_is_asked_and_runs_this_code() -> None:
    ours, nodes = own_facts(), ask_nodes()
    assert len(nodes) == 1
    assert nodes[0].versions == ours.versions
    assert ours.versions["rssr"] == rssr.__version__
    assert nodes[0].code == ours.code != ""
    assert nodes[0].problem == ""
    assert abs(nodes[0].clock_error_s) < 1
    assert differences(ours, nodes) == ([], [])
    require_same_code()


def test_a_node_without_the_package_or_of_another_version_is_severe() -> None:
    lacking = node(missing=("rssr", "torch"), versions={"python": "3.11.7"}, code="")
    other = node(versions={**OURS.versions, "rssr": "0.9"}, code="cd")
    severe, slight = differences(OURS, [lacking, other, OURS])
    assert severe == ["node 10.0.0.2 lacks rssr and torch", "node 10.0.0.2 has rssr 0.9 instead of 1.0"]
    assert slight == []


def test_what_changes_rounding_at_most_is_slight() -> None:
    others = [
        node(code="cd"),
        node(versions={**OURS.versions, "torch": "2.7.0", "python": "3.11.9"}),
        NodeFacts("node 10.0.0.3", {}, problem="no answer within 30 s"),
    ]
    severe, slight = differences(OURS, others)
    assert severe == []
    assert slight == [
        "node 10.0.0.2 has other source files of rssr 1.0",
        "node 10.0.0.2 has python 3.11.9 instead of 3.11.7",
        "node 10.0.0.2 has torch 2.7.0 instead of 2.6.0",
        "node 10.0.0.3: no answer within 30 s",
    ]


@pytest.mark.parametrize(("time_s", "error_s"), [(100.0, 0.0), (104.0, 0.0), (165.0, 60.0), (30.0, -70.0)])
def test_a_clock_is_wrong_by_what_the_time_of_asking_cannot_explain(time_s: float, error_s: float) -> None:
    assert node(time_s=time_s, asked_s=100.0, answered_s=105.0).clock_error_s == error_s


def test_of_many_nodes_a_few_are_named() -> None:
    assert listed(["a", "b"]) == "a; b"
    assert listed([str(number) for number in range(100)]) == "0; 1; 2; 3; 4; and 95 more"

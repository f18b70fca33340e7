import re

import pytest

from pipelines.serving.telemetry.trace import begin_trace, continue_trace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_trace_goes_on_with_a_span_of_its_own() -> None:
    hop = continue_trace([PARENT])
    assert (hop.trace_id, hop.parent_id) == (TRACE, SPAN)
    assert re.fullmatch(r"[0-9a-f]{16}", hop.span_id) and hop.span_id != SPAN
    assert hop.header == f"00-{TRACE}-{hop.span_id}-01"


def test_the_next_hop_is_below_this_one() -> None:
    hop = continue_trace([PARENT], ["vendor=1"])
    further = continue_trace([hop.header])
    assert (further.trace_id, further.parent_id) == (TRACE, hop.span_id)
    assert hop.next_hop().parent_id == hop.span_id
    assert hop.next_hop().state == "vendor=1"


@pytest.mark.parametrize(
    "parents",
    [
        [],
        [""],
        [PARENT, PARENT],
        [PARENT.upper()],
        [f"ff-{TRACE}-{SPAN}-01"],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"00-{TRACE}-{SPAN}-01-more"],
        [f"00-{TRACE}-{SPAN}-1"],
        [f"00-{TRACE}-{SPAN}"],
        [f"00-{TRACE[:-1]}g-{SPAN}-01"],
        [f"0-{TRACE}-{SPAN}-01"],
        [f"00_{TRACE}_{SPAN}_01"],
        [f"{PARENT}\n"],
        [f"\u0660\u0660-{TRACE}-{SPAN}-01"],
        [f"01-{TRACE}-{SPAN}-01x"],
    ],
)
def test_what_is_not_valid_begins_a_trace(parents: list[str]) -> None:
    hop = continue_trace(parents, ["vendor=1"])
    assert hop.trace_id != TRACE
    assert (hop.parent_id, hop.state) == ("", "")
    assert continue_trace([hop.header]).trace_id == hop.trace_id


def test_later_versions_are_read_as_far_as_they_are_known() -> None:
    hop = continue_trace([f"cc-{TRACE}-{SPAN}-ff-what-comes"])
    assert hop.trace_id == TRACE
    assert hop.header == f"00-{TRACE}-{hop.span_id}-01"


def test_unknown_flags_are_not_passed_on() -> None:
    assert continue_trace([f"00-{TRACE}-{SPAN}-ff"]).flags == 0x03
    assert continue_trace([f"00-{TRACE}-{SPAN}-00"]).flags == 0x00


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        (["a=1,b=2"], "a=1,b=2"),
        (["a=1 ", "\tb=2"], "a=1,b=2"),
        (["a=1,,b=2"], "a=1,b=2"),
        (["1tenant@system=x y!"], "1tenant@system=x y!"),
        (["a=1,a=2"], ""),
        (["A=1"], ""),
        (["a"], ""),
        (["a="], ""),
        (["a=1=2"], ""),
        (["a=ü"], ""),
        ([",".join(f"k{number}=1" for number in range(32))], ",".join(f"k{number}=1" for number in range(32))),
        ([",".join(f"k{number}=1" for number in range(33))], ""),
    ],
)
def test_states_of_others_are_carried_or_dropped_as_a_whole(lines: list[str], state: str) -> None:
    hop = continue_trace([PARENT], lines)
    assert (hop.trace_id, hop.state) == (TRACE, state)


def test_traces_that_begin_are_all_different() -> None:
    assert len({begin_trace().trace_id for _ in range(1000)}) == 1000

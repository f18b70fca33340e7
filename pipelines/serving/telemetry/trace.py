"""Trace context as in W3C's recommendation: taken from a request, passed on with each hop, never trusted blindly."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_STATE_KEY = re.compile(r"[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}", re.ASCII)
_STATE_VALUE = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]", re.ASCII)
_MOST_STATES = 32
_SAMPLED, _RANDOM = 0x01, 0x02


@dataclass(frozen=True)
class TraceContext:
    """One hop of a request that several services may work on.

    Attributes:
        trace_id: Of the whole, 32 hexadecimal digits.
        span_id: Of this hop, 16 digits.
        parent_id: Of the hop that asked; empty where this is the first.
        flags: Bits of level 1 and 2 of the recommendation: sampled, random.
        state: What others' tracing passes along; carried unchanged.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    flags: int = _SAMPLED | _RANDOM
    state: str = ""

    @property
    def header(self) -> str:
        """As `traceparent` of what is asked from here on, or as `traceresponse`."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def next_hop(self) -> "TraceContext":
        """The same trace with a span of its own below this one."""
        return replace(self, span_id=_new_id(8), parent_id=self.span_id)


def begin_trace() -> TraceContext:
    """A trace that begins here."""
    return TraceContext(_new_id(16), _new_id(8))


def continue_trace(parents: Sequence[str], states: Sequence[str] = ()) -> TraceContext:
    """This hop of the trace that a request belongs to, or of a new one where it tells none that is valid.

    Args:
        parents: Values of the header `traceparent`; there must be one.
        states: Values of the header `tracestate`, in their order; dropped as a whole where one is not valid.
    """
    asked = _read_parent(parents[0]) if len(parents) == 1 else None
    if asked is None:
        return begin_trace()
    return replace(asked, state=_read_states(states)).next_hop()


def _read_parent(text: str) -> TraceContext | None:
    match = _PARENT.fullmatch(text.strip(" \t"))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or not int(trace_id, 16) or not int(span_id, 16):
        return None
    if version == "00" and more is not None:
        return None
    known = int(flags, 16) & (_SAMPLED | _RANDOM if version == "00" else _SAMPLED)
    return TraceContext(trace_id, span_id, flags=known)


def _read_states(lines: Sequence[str]) -> str:
    members = [member.strip(" \t") for line in lines for member in line.split(",")]
    members = [member for member in members if member]
    keys = []
    for member in members:
        key, separator, value = member.partition("=")
        if not separator or not _STATE_KEY.fullmatch(key) or not _STATE_VALUE.fullmatch(value):
            return ""
        keys.append(key)
    return ",".join(members) if len(keys) == len(set(keys)) <= _MOST_STATES else ""


def _new_id(num_bytes: int) -> str:
    while not any(value := secrets.token_bytes(num_bytes)):
        pass  # all zeros mean none
    return value.hex()

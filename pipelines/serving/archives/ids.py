"""Names of archives: they sort by time, and nobody guesses one."""

import re
import secrets
import time

_SIGNS = "0123456789abcdefghjkmnpqrstvwxyz"  # none that is taken for another
_BITS = 5
_NUM_OF_TIME, _NUM_DRAWN = 10, 16  # signs: 50 bits of milliseconds, 80 bits
_ID = re.compile(rf"ar_[{_SIGNS}]{{{_NUM_OF_TIME + _NUM_DRAWN}}}")
_PREFIX = "ar_"


def new_archive_id(now_s: float | None = None) -> str:
    """A fresh id, e.g. `ar_01hgw2bbg0` and 16 drawn signs.

    Args:
        now_s: Seconds since 1970; None asks the clock.
    """
    milliseconds = int((time.time() if now_s is None else now_s) * 1000)
    drawn = secrets.randbits(_BITS * _NUM_DRAWN)
    return f"{_PREFIX}{_spelled(milliseconds, _NUM_OF_TIME)}{_spelled(drawn, _NUM_DRAWN)}"


def is_archive_id(text: str) -> bool:
    """Whether this can be the name of an archive."""
    return _ID.fullmatch(text) is not None


def made_at_s(archive_id: str) -> float:
    """When an id was made, seconds since 1970."""
    milliseconds = 0
    for sign in archive_id.removeprefix(_PREFIX)[:_NUM_OF_TIME]:
        milliseconds = milliseconds << _BITS | _SIGNS.index(sign)
    return milliseconds / 1000


def _spelled(number: int, num_signs: int) -> str:
    return "".join(_SIGNS[number >> _BITS * place & 31] for place in reversed(range(num_signs)))

"""Asking a web server once, with an answer or a reason within seconds."""

import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from urllib.parse import urlsplit

from pipelines.storage import redact
from rssr.errors import UserError

PATIENCE_S = 4.0
_MOST_BYTES = 4096


@dataclass(frozen=True)
class Answer:
    """What a server said.

    Attributes:
        status: Of HTTP; any will do to know that it is there.
        body: The beginning of the text.
        date: By its clock; None where it does not say.
        asked_s: Our clock before the request, seconds since 1970.
        answered_s: Our clock after it.
    """

    status: int
    body: str
    date: datetime | None
    asked_s: float
    answered_s: float

    @property
    def clock_error_s(self) -> float | None:
        """By how much our clock is wrong at least, by the server's: positive where ours is ahead; None if unknown."""
        if self.date is None:
            return None
        told_s = self.date.timestamp()  # whole seconds, cut off
        return max(self.asked_s - (told_s + 1), 0.0) + min(self.answered_s - told_s, 0.0)


def ask(url: str, what: str = "The server", patience_s: float = PATIENCE_S) -> Answer:
    """One GET.

    Args:
        url: User names and passwords in it are not sent.
        what: What the message calls it.
        patience_s: How long to wait for the connection, and for each part of the answer.

    Raises:
        UserError: There is no answer.
    """
    parts = urlsplit(url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    asked_s = time.time()
    try:
        with urllib.request.urlopen(address, timeout=patience_s) as response:
            status, headers, body = response.status, response.headers, response.read(_MOST_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            status, headers, body = error.code, error.headers, b""
    except (OSError, ValueError, HTTPException) as error:  # the last one: it speaks no HTTP
        reason = getattr(error, "reason", error)
        problem = f"{what} {redact(url)} does not answer ({reason})."
        raise UserError(problem, "Start it, or correct its address; look at the network between.") from None
    return Answer(status, body.decode(errors="replace"), _parsed(headers.get("Date")), asked_s, time.time())


def _parsed(date: str | None) -> datetime | None:
    try:
        return None if date is None else parsedate_to_datetime(date)
    except ValueError:
        return None

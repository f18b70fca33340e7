"""What a service said when it would not, or that it said nothing."""

from rssr.errors import RssrError

_TEMPORARY = frozenset((429, 502, 503, 504))


class ServiceError(RssrError):
    """A request that was not answered as asked.

    Args:
        problem: What is wrong, in the service's own words where it gave some.
        remedy: What the caller can do about it.
        status: HTTP status; None where there was no answer.
        kind: Stable name of the problem, e.g. `model-mismatch`; empty where the service gave none.
        request_id: To tell the operator, whose log has it; empty where there was no answer.
        retry_after_s: How long the service asks to wait, seconds; None where it does not say.
    """

    def __init__(
        self,
        problem: str,
        remedy: str = "",
        *,
        status: int | None = None,
        kind: str = "",
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(problem, remedy)
        self.status = status
        self.kind = kind
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may well succeed later."""
        return self.status is None or self.status in _TEMPORARY

    def __str__(self) -> str:
        told = super().__str__()
        return f"{told} [request {self.request_id}]" if self.request_id else told

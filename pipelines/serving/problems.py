"""What a caller is told when a request fails: problem documents as in RFC 9457, with a stable type and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class ProblemKind:
    """A kind of failure with a stable name.

    Attributes:
        status: HTTP status.
        title: The same words for every failure of this kind.
        meaning: What it means and what callers usually do about it, for the page of the kind.
    """

    status: int
    title: str
    meaning: str


KINDS: Mapping[str, ProblemKind] = {
    "unauthorized": ProblemKind(401, "No valid key", "Send a key of this service as 'Authorization: Bearer KEY'."),
    "forbidden-place": ProblemKind(
        403, "This place may not be used", "The operator lists the places that archives are read from and written to."
    ),
    "not-found": ProblemKind(404, "Nothing is here", "Check the path; archives are seen by the key that made them."),
    "model-unknown": ProblemKind(404, "No such model", "GET /v1/models lists the models there are."),
    "method-not-allowed": ProblemKind(405, "Not with this method", "The header Allow names the methods there are."),
    "conflict": ProblemKind(409, "Not in this state", "The archive is not, or no longer, in a state that allows this."),
    "body-too-large": ProblemKind(413, "The body is too large", "Send less at a time, or an archive by its URI."),
    "scene-too-large": ProblemKind(
        413, "The scene is too large", "Whole scenes are for archives: POST /v1/archives with their URI."
    ),
    "unsupported-media-type": ProblemKind(
        415, "No kind of image that is read", "Send PNG, JPEG, TIFF or GeoTIFF as body, or as a form's part `image`."
    ),
    "unreadable-image": ProblemKind(422, "The image cannot be read", "It is damaged, or of a kind that is not read."),
    "model-mismatch": ProblemKind(
        422, "Image and model do not fit", "GET /v1/models tells bands and scales of each model."
    ),
    "invalid-request": ProblemKind(422, "The request cannot be used", "The detail names the parameter."),
    "idempotency-key-reused": ProblemKind(
        422, "The key belongs to another request", "Send a fresh Idempotency-Key with each new request."
    ),
    "too-many-archives": ProblemKind(
        429, "Too many archives at a time", "Wait as long as Retry-After says, or until one of yours has ended."
    ),
    "busy": ProblemKind(503, "The service is busy", "Send the request again after as long as Retry-After says."),
    "starting": ProblemKind(503, "The service is starting", "Send it again after as long as Retry-After says."),
    "timed-out": ProblemKind(
        503, "It took too long", "Send it again after as long as Retry-After says, or as an archive."
    ),
    "internal": ProblemKind(500, "Our fault", "Tell the operator the request id; the log says more."),
}
"""Kinds by name; the type of a problem is `/problems/NAME`."""


class Problem(Exception):
    """A request that fails with an answer.

    Args:
        slug: Name of its kind.
        detail: What is wrong with this request. No paths of the server.
        remedy: What the caller can do.
        headers: Further headers of the answer, e.g. Retry-After.

    Raises:
        KeyError: There is no such kind.
    """

    def __init__(self, slug: str, detail: str, remedy: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(slug, detail, remedy, dict(headers or {}))
        self.slug = slug
        self.kind = KINDS[slug]
        self.detail = detail
        self.remedy = remedy
        self.headers = dict(headers or {})

    def document(self, instance: str, request_id: str) -> dict[str, Any]:
        """The answer's body.

        Args:
            instance: Path of the request.
            request_id: Of the request, so that the log can be searched.
        """
        return {
            "type": f"/problems/{self.slug}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": instance,
            "request_id": request_id,
            "remedy": self.remedy or self.kind.meaning,
        }

    def __reduce__(self) -> tuple[type["Problem"], tuple[str, str, str, dict[str, str]]]:
        """Travels between processes whole."""
        return type(self), (self.slug, self.detail, self.remedy, self.headers)

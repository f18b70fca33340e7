"""Who is champion of a registered model, and why: the one place that decides where this alias points.

Training makes its model the `candidate`, and champion only where there is none; from then on the alias moves by an
evaluation of both (`pipelines.evaluation.promotion`).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.tracking.registry import (
    CANDIDATE,
    CHAMPION,
    ModelVersion,
    find_alias,
    find_model_version,
    set_alias,
    tag_version,
)
from rssr.errors import Refused

_log = logging.getLogger(__name__)

REASON_TAG = "rssr.champion.reason"
"""Tag of a version that tells why it is champion, or why it did not become so."""


@dataclass(frozen=True)
class Contenders:
    """Who may become champion, and who is.

    Attributes:
        candidate: The version that asks for it.
        champion: The version that has it; None where there is none yet.
    """

    candidate: ModelVersion
    champion: ModelVersion | None

    @property
    def is_settled(self) -> bool:
        """Whether the candidate is champion already."""
        return self.champion is not None and self.champion.version == self.candidate.version


def find_contenders(tracking_uri: str, name: str) -> Contenders:
    """The candidate of a registered model, and its champion.

    Raises:
        ModelError: There is no such model, or it has no candidate.
        TrackingError: The store does not answer.
    """
    return Contenders(find_model_version(tracking_uri, name, CANDIDATE), find_alias(tracking_uri, name, CHAMPION))


def become_first_champion(tracking_uri: str, version: ModelVersion, reason: str) -> bool:
    """Make a version champion where its model has none.

    Args:
        tracking_uri: The store.
        version: The version.
        reason: Why, in a sentence; kept as a tag where it becomes champion.

    Returns:
        Whether the version is champion, be it since now or before.
    """
    champion = find_alias(tracking_uri, version.name, CHAMPION)
    if champion is not None:
        return champion.version == version.version
    _appoint(tracking_uri, version, {REASON_TAG: reason})
    return True


def replace_champion(tracking_uri: str, contenders: Contenders, tags: Mapping[str, str]) -> None:
    """Make the candidate champion in place of the one that it was compared with.

    Args:
        tracking_uri: The store.
        contenders: Who was compared.
        tags: Of the candidate from then on: why.

    Raises:
        Refused: Another version has become champion since.
    """
    candidate, known = contenders.candidate, contenders.champion
    champion = find_alias(tracking_uri, candidate.name, CHAMPION)
    if champion != known:
        raise Refused(
            f"{candidate.uri} was compared with {known.uri if known else 'no champion'}, but "
            f"{champion.uri if champion else 'none'} is champion by now.",
            "Evaluate again.",
        )
    _appoint(tracking_uri, candidate, tags)


def _appoint(tracking_uri: str, version: ModelVersion, tags: Mapping[str, str]) -> None:
    tag_version(tracking_uri, version, tags)  # first: a champion without a reason is never seen
    set_alias(tracking_uri, version, CHAMPION)
    _log.info("%s is champion: %s", version.uri, tags.get(REASON_TAG, ""))

"""What the routes ask of the models, wherever these run."""

from typing import Literal, Protocol

from pipelines.serving.models.records import ModelRecord
from pipelines.serving.models.request import SrRequest, SrResult

Health = Literal["ready", "starting", "failed", "idle"]
"""Idle models have no replica while nobody asks."""


class ModelApi(Protocol):
    """Who runs the models."""

    async def super_resolve(self, model: str, request: SrRequest) -> SrResult:
        """Super-resolve an image.

        Raises:
            Problem: What the caller is told where it does not work.
        """
        ...

    async def records(self) -> list[ModelRecord]:
        """What is known of each model, the default first; at most a second or so old."""
        ...

    async def health(self, model: str) -> Health:
        """Whether a model answers, from a tiny picture; idle ones are not woken for it."""
        ...

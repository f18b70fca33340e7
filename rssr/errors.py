"""Errors that say what to do next, and the exit codes they carry.

A caller's mistake is a `UserError`: one paragraph, no traceback, exit status 2. Anything else that escapes a
job is our fault and ends with status 1.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of every job and command."""

    DONE = 0
    OUR_FAULT = 1
    BAD_INPUT = 2
    COMPLETED_WITH_FAILURES = 3
    REFUSED = 4


class RssrError(Exception):
    """Base of all errors raised on purpose.

    Args:
        problem: What is wrong, naming the file, key or value.
        remedy: What the reader can do about it.

    Attributes:
        where: Part of the work in which it happened, told behind the problem; empty for none. It may be set by
            whoever knows, on the error's way up.
    """

    exit_code = ExitCode.OUR_FAULT
    where: str = ""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        return f"{self.problem}{where} {self.remedy}".strip()


class UserError(RssrError):
    """Bad input or configuration: the reader can mend it."""

    exit_code = ExitCode.BAD_INPUT


class ConfigError(UserError):
    """A configuration key is unknown, missing or ill-typed."""


class DataError(UserError):
    """A dataset, folder or manifest cannot be used."""


class ImageError(DataError):
    """One image cannot be decoded or does not fit; bulk readers skip and count it."""


class RasterError(UserError):
    """A georeferenced raster cannot be read, written or matched with a model."""


class StorageError(UserError):
    """A local path or object store cannot be reached, read or written."""


class TileError(RssrError):
    """A tile of a scene could not be computed, for a reason that nobody foresaw."""


class WeightsError(UserError):
    """Weights are missing, damaged or belong to another model."""


class ModelError(UserError):
    """A model name, folder or card is unknown or does not fit the request."""


class CheckpointError(RssrError):
    """A training checkpoint is incomplete or damaged."""


class CompletedWithFailures(RssrError):
    """The run finished, but some of its items failed and are listed."""

    exit_code = ExitCode.COMPLETED_WITH_FAILURES


class Refused(RssrError):
    """The run would exceed its budget, or a promotion was not earned."""

    exit_code = ExitCode.REFUSED


class OutOfMemory(UserError):
    """Training does not fit into the memory of an accelerator or a machine."""


class TrainingDiverged(RssrError):
    """A loss is not a number or infinite; the last good checkpoint is named."""

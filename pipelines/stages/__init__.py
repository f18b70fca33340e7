"""The steps of the data pipelines: plain callables that take a batch and return a batch, and never import Ray."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StageResources:
    """What one worker of a stage reserves; declared beside the work, not inside.

    Attributes:
        num_cpus: CPU cores.
        memory_bytes: Resident memory, for planning.
    """

    num_cpus: float
    memory_bytes: int
